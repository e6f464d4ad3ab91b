import re
text = "The year 2024-05-06, then 1999-12-31; mail a.b@c.org and x@y.z"
print(re.findall(r"(\d{4})-(\d\d)-(\d\d)", text))
print(re.sub(r"(\w+)@(\w+)", lambda m: m[2].upper() + " at " + m[1], text))
m = re.search(r"(?P<year>\d+)(?=-12)", text)
print(m.groupdict(), m.span(), re.split(r"[,;]\s*", text))
print(re.fullmatch(r"(a|ab)(c|bcd)(d*)", "abcd").groups(), re.match("b", "ab"))
print(re.compile(r"""\b (\w) \w* \1 \b""", re.X | re.I).findall("Anna sees that noon bob"))
print([m.start() for m in re.finditer("(?i)the", text)])
try:
    re.compile("(")
except re.error as error:
    print(error)
