import collections, heapq, bisect, itertools, functools, operator
words = "the cat and the dog and the bird".split()
print(collections.Counter(words).most_common(2), collections.OrderedDict(sorted(zip(words, range(9)))))
d = collections.defaultdict(list)
for w in words:
    d[len(w)].append(w)
print(dict(d), collections.deque(range(5), 3), {*"hello"} & {*"world"} == {"l", "o"})
heap = [5, 1, 4, 2, 3]
heapq.heapify(heap)
print([heapq.heappop(heap) for _ in range(5)], bisect.bisect([1, 3, 5], 3), sorted(words, key=lambda w: (-len(w), w)))
print(list(itertools.accumulate(range(1, 6), operator.mul)), list(itertools.permutations("ab")), functools.reduce(max, [3, 9, 2]))
print([k + str(len(list(g))) for k, g in itertools.groupby("aaabccd")], list(zip(*[[1, 2], [3, 4]])))
Point = collections.namedtuple("Point", "x y")
print(Point(1, 2)._replace(y=5), [1, 2, 3][-2:], (lambda *a, **k: (a, k))(1, b=2), {n: n * n for n in range(3)})
