/**
 * Loops that are unrolled: innermost ones without calls whose blocks are written several times, one copy behind
 * the other. Only the first copy looks at the budget, and what a loop carries round is moved about by the engine
 * once for all copies: short loops have as much of that as they have work.
 */
import { dominates, type Flow, type Node, type Unrolled, type Unrolling } from "./region-order.ts";

const COPIES_MAX = 4;
/** Most instructions of all copies of a loop, and of all copies in a region beside the first ones. */
const LOOP_STEPS_MAX = 300;
const REGION_STEPS_MAX = 1200;

/** The loops of `flow`, in which nothing is unrolled yet, that are to be. */
export function findUnrolling({ nodes }: Flow): Unrolling {
  const found = new Map<number, Unrolled>();
  let left = REGION_STEPS_MAX;
  const predecessors: Node[][] = nodes.map(() => []);
  for (const node of nodes) for (const to of node.successors) predecessors[to.index]!.push(node);
  for (const header of nodes) {
    if (!header.isLoop || header.block === undefined) continue;
    const sources = predecessors[header.index]!.filter((from) => dominates(header, from));
    const body = chooseBody(header, sources, predecessors);
    if (body === undefined) continue;
    const copies = Math.min(COPIES_MAX, Math.floor(LOOP_STEPS_MAX / stepsOf(body)));
    const more = stepsOf(body) * (copies - 1);
    if (copies < 2 || more > left) continue;
    left -= more;
    for (const node of body) found.set(node.block!.id, { header: header.block.id, copies });
  }
  return found;
}

const stepsOf = (body: ReadonlySet<Node>): number => {
  let steps = 0;
  for (const node of body) steps += node.block!.steps.length;
  return steps;
};

/**
 * The nodes of the innermost loop of a header, if it can be unrolled. Where several edges lead back, the shortest way
 * round is taken for a loop inside another one, unless it is most of the whole.
 */
function chooseBody(
  header: Node,
  sources: readonly Node[],
  predecessors: readonly Node[][],
): ReadonlySet<Node> | undefined {
  if (sources.length === 0) return undefined;
  const whole = bodyOf(header, sources, predecessors);
  if (sources.length === 1) return whole;
  let least: ReadonlySet<Node> | undefined;
  for (const source of sources) {
    const body = bodyOf(header, [source], predecessors);
    if (body !== undefined && (least === undefined || stepsOf(body) < stepsOf(least))) least = body;
  }
  if (least === undefined) return undefined;
  return whole !== undefined && stepsOf(whole) < 2 * stepsOf(least) ? whole : least;
}

/** The nodes from which one of `sources` is reached without passing the header, if they can be unrolled. */
function bodyOf(
  header: Node,
  sources: readonly Node[],
  predecessors: readonly Node[][],
): ReadonlySet<Node> | undefined {
  const body = new Set([header]);
  const queue = [...sources];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    if (body.has(node)) continue;
    if (node.isLoop || node.entry >= 0) return undefined;
    body.add(node);
    queue.push(...predecessors[node.index]!);
  }
  for (const { after, indirect, block } of body)
    if (after !== undefined || indirect.length > 0 || block!.steps.length === 0) return undefined;
  return body;
}
