def fail(depth):
    if depth == 0:
        return {}["key"]
    return fail(depth - 1)
fail(2)
