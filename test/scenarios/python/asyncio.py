import asyncio
async def worker(name, queue, out):
    while True:
        n = await queue.get()
        await asyncio.sleep(0.001 * n)
        out.append((name, n))
        queue.task_done()
async def main():
    queue, out = asyncio.Queue(), []
    for n in range(6): queue.put_nowait(n)
    tasks = [asyncio.create_task(worker(name, queue, out)) for name in "ab"]
    await queue.join()
    for t in tasks: t.cancel()
    print(sorted(n for _, n in out), await asyncio.gather(*tasks, return_exceptions=True))
    print(await asyncio.gather(asyncio.sleep(0.02, "slow"), asyncio.sleep(0, "fast")))
    try: await asyncio.wait_for(asyncio.sleep(10), 0.02)
    except TimeoutError: print("timeout")
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"through cat"), p.returncode)
    async def echo(reader, writer):
        writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    async with await asyncio.start_unix_server(echo, "echo.sock"):
        reader, writer = await asyncio.open_unix_connection("echo.sock")
        writer.write(b"a line\n")
        print(await reader.read())
        writer.close()
    print(await asyncio.to_thread(lambda: "in a thread"))
asyncio.run(main())
