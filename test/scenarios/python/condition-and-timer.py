import threading
box, condition = [], threading.Condition()
def produce():
    for n in range(5):
        with condition:
            box.append(n)
            condition.notify()
def consume(out):
    while len(out) < 5:
        with condition:
            while not box: condition.wait(5)
            out.append(box.pop(0))
out = []
a, b = threading.Thread(target=consume, args=(out,)), threading.Thread(target=produce)
a.start(); b.start(); a.join(); b.join()
print(out)
fired = threading.Event()
timer = threading.Timer(0.05, fired.set)
timer.start()
print(fired.wait(10))
cancelled = threading.Timer(30, print)
cancelled.start(); cancelled.cancel(); cancelled.join(5)
print(cancelled.is_alive())
rlock = threading.RLock()
with rlock, rlock: print("twice")
def die(): raise SystemExit
t = threading.Thread(target=die); t.start(); t.join()
print(threading.main_thread() is threading.current_thread())
