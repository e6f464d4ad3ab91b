import threading, queue
results, lock, done = [], threading.Lock(), queue.Queue()
def work(n):
    total = 0
    for i in range(1000):
        total += i * n
    with lock:
        results.append((n, total))
    done.put(n)
threads = [threading.Thread(target=work, args=(n,), name=f"w{n}") for n in range(6)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results), sorted(done.get() for _ in threads), threading.active_count())
event, ready = threading.Event(), threading.Semaphore(0)
barrier = threading.Barrier(3)
order = []
def wait():
    ready.release()
    event.wait()
    order.append(barrier.wait() in (0, 1, 2))
waiters = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
for t in waiters: t.start()
for _ in waiters: ready.acquire()
event.set()
for t in waiters: t.join()
print(order, event.wait(0), lock.acquire(timeout=0.05), lock.acquire(timeout=0.05))
local = threading.local()
local.value = 1
t = threading.Thread(target=lambda: print(hasattr(local, "value")))
t.start(); t.join()
