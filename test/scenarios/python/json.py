import json
value = {"text": "ümlaut \n \u20ac", "list": [1, 2.5, -3e100, True, None], "nested": {"b": {}, "a": []}}
text = json.dumps(value, sort_keys=True, indent=1)
print(text)
print(json.loads(text) == value, json.dumps(value, ensure_ascii=False, sort_keys=True)[:40].encode())
print(json.loads('[1e3, 0.1, 12345678901234567890, "\\ud83d\\ude00"]'))
for wrong in ('{"a": }', "[1,]", '"open', "nul"):
    try:
        json.loads(wrong)
    except json.JSONDecodeError as error:
        print(error)
