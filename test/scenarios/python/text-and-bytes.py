s = "Grüße, Κόσμε 🌍"
print(len(s), s.encode(), s.upper().encode(), s[::-1].encode("utf-16-le").hex())
print("a,b,,c".split(","), "  x y ".split(), "-".join("abc"), "abc".center(9, "*"), "x=1".partition("="))
print(b"\xff\xfe".decode("latin-1").encode(), bytes(range(5)), bytearray(b"abc").hex(" "))
try:
    b"\xff".decode()
except UnicodeDecodeError as error:
    print(error)
import unicodedata
print(unicodedata.name("é"), unicodedata.normalize("NFD", "é").encode(), "ß".casefold(), "ǅ".title().encode())
print("%-5s|%05d|%.3e" % ("ab", 42, 12345.678), "{:>8}|{!r}".format("x", "y"), repr("tab\t'quote'"))
import textwrap, string
print(textwrap.fill("the quick brown fox jumps over the lazy dog", 16), string.Template("$a and ${b}").substitute(a=1, b=2))
