import dataclasses, enum, contextlib
@dataclasses.dataclass(order=True, frozen=True)
class Item:
    price: float
    name: str = "thing"
class Color(enum.Flag):
    RED = 1
    BLUE = 2
def count(n):
    while n:
        got = yield n
        n = got if got is not None else n - 1
@contextlib.contextmanager
def noisy(name):
    print("enter", name)
    try:
        yield name
    finally:
        print("leave", name)
class Base:
    def __init_subclass__(cls, **kw): print("subclass", cls.__name__, kw)
    def __getattr__(self, name): return name * 2
class Child(Base, kind="x"):
    __slots__ = ("a",)
print(sorted([Item(2, "b"), Item(1)]), Color.RED | Color.BLUE, Child().zz)
g = count(3)
print(next(g), g.send(10), next(g), list(count(2)))
with contextlib.suppress(KeyError), noisy("block"):
    {}["missing"]
match {"kind": "point", "at": [1, 2]}:
    case {"kind": "point", "at": [x, y]}: print("point", x, y)
try:
    try: raise ValueError("inner")
    except ValueError as error: raise RuntimeError("outer") from error
except RuntimeError as error: print(repr(error), repr(error.__cause__))
try: raise ExceptionGroup("group", [ValueError(1), TypeError(2)])
except* TypeError as group: print("caught", group.exceptions)
except* ValueError: print("and the value")
