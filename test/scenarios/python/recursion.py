import sys
def deep(n): return n if n == 0 else 1 + deep(n - 1)
print(deep(500))
try:
    deep(10 ** 6)
except RecursionError as error:
    print(str(error)[:32])
sys.setrecursionlimit(5000)
print(deep(3000))
