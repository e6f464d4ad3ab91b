from pathlib import Path
base = Path("work")
for name in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.log"):
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name * 2)
print(sorted(str(p) for p in base.rglob("*.txt")))
print(sorted(p.name for p in base.glob("*/*")))
p = base / "sub" / "deep" / "d.log"
print(p.stem, p.suffix, p.parts, p.read_text(), p.exists(), p.is_file(), p.stat().st_size)
print((base / ".." / "work").resolve() == base.resolve(), base.absolute())
print(Path("/usr/bin/python3").is_symlink(), p.with_suffix(".txt"), p.relative_to(base))
