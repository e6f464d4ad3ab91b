import multiprocessing, os
context = multiprocessing.get_context("fork")
def work(q, lock, n):
    with lock: q.put((n, n * n))
q, lock = context.Queue(), context.Lock()
workers = [context.Process(target=work, args=(q, lock, n)) for n in range(3)]
for w in workers: w.start()
print(sorted(q.get(timeout=30) for _ in workers))
for w in workers: w.join()
print([w.exitcode for w in workers])
mine, theirs = context.Pipe()
def answer(): theirs.send({"got": theirs.recv()}); os._exit(3)
p = context.Process(target=answer); p.start(); mine.send([1, "two"]); print(mine.recv()); p.join(); print(p.exitcode)
p = context.Process(target=lambda: os.kill(os.getpid(), 9)); p.start(); p.join(); print(p.exitcode)
