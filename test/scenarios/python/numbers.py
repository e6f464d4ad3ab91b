import math, decimal, fractions, struct
print(2 ** 200, 7 ** -2, divmod(-7, 3), -7 // 2, -7 % 3, 10 ** 30 // 7 ** 20)
print(0.1 + 0.2, 1e308 * 10, -1e-320, float("nan") != float("nan"), (0.1).hex(), float.fromhex("0x1.8p3"))
print(math.sqrt(2), math.sin(1), math.exp(-1), math.log(10), math.gamma(5.5), math.fma(2, 3, 4), math.hypot(3, 4))
print(round(2.5), round(-3.5), round(1.005, 2), f"{math.pi:.15f} {1e-7:g} {123456789:,} {255:#x} {0.25:%}")
print(decimal.Decimal(1) / 7, fractions.Fraction(3, 12) + fractions.Fraction(1, 3))
print(struct.pack("<hIqd", -2, 7, -(2 ** 60), 1.5).hex(), struct.unpack(">f", bytes.fromhex("40490fdb")))
print(sum(0.1 for _ in range(10)), math.fsum([0.1] * 10), math.gcd(2 ** 61 - 1, 6), math.factorial(25))
for wrong in (lambda: 1 / 0, lambda: math.sqrt(-1), lambda: math.exp(1000), lambda: int("x")):
    try:
        wrong()
    except Exception as error:
        print(type(error).__name__, error)
