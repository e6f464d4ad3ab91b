import concurrent.futures as futures, multiprocessing, os
def square(n): return n * n
def fail(n): raise ValueError(n)
with futures.ThreadPoolExecutor(3) as pool:
    print(list(pool.map(square, range(8))), pool.submit(fail, 3).exception())
    done, waiting = futures.wait([pool.submit(square, n) for n in range(3)])
    print(sorted(f.result() for f in done), waiting)
with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print(list(pool.map(square, range(5))), pool.submit(os.getpid).result() != os.getpid())
    print(repr(pool.submit(fail, 7).exception()))
