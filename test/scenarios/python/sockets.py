import socket, os, threading, struct
a, b = socket.socketpair()
a.sendall(b"hello"); print(b.recv(2), b.recv(10, socket.MSG_PEEK), b.recv(10))
server = socket.socket(socket.AF_UNIX); server.bind("server.sock"); server.listen()
def serve():
    while True:
        c, _ = server.accept()
        with c, c.makefile("rw") as f:
            line = f.readline().strip()
            if line == "stop": return
            print(line.upper(), file=f, flush=True)
t = threading.Thread(target=serve); t.start()
for word in ("one", "two"):
    with socket.socket(socket.AF_UNIX) as c:
        c.connect("server.sock"); c.sendall(word.encode() + b"\n"); c.shutdown(socket.SHUT_WR)
        print(c.recv(100), c.recv(100))
with socket.socket(socket.AF_UNIX) as c: c.connect("server.sock"); c.sendall(b"stop\n")
t.join(); server.close()
try: socket.socket(socket.AF_UNIX).connect("server.sock")
except OSError as error: print(error)
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind("\0name")
e = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); e.bind("\0other"); e.sendto(b"datagram", "\0name")
print(d.recvfrom(4), d.getsockname())
a.settimeout(0.05)
try: a.recv(1)
except TimeoutError as error: print(error)
b.close()
print(a.recv(1))
