import threading
def fail(): raise ValueError("in a thread")
threading.excepthook = lambda args: print(args.exc_type.__name__, args.exc_value, args.thread.name)
t = threading.Thread(target=fail, name="failing")
t.start(); t.join()
print("main goes on")
