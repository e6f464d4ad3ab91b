import multiprocessing
from multiprocessing import shared_memory
context = multiprocessing.get_context("fork")
value, array, event = context.Value("i", 0), context.Array("d", 4), context.Event()
def work(n):
    event.wait()
    for _ in range(50):
        with value.get_lock(): value.value += 1
    array[n] = n + 0.5
workers = [context.Process(target=work, args=(n,)) for n in range(3)]
for w in workers: w.start()
event.set()
for w in workers: w.join()
print(value.value, list(array))
memory = shared_memory.SharedMemory(create=True, size=5000)
memory.buf[:5] = b"bytes"
again = shared_memory.SharedMemory(name=memory.name)
print(bytes(again.buf[:5]), again.size >= 5000)
again.close(); memory.close(); memory.unlink()
try: shared_memory.SharedMemory(name=memory.name)
except FileNotFoundError: print("gone")
