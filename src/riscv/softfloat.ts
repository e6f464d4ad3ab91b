import type { HelperDefinition } from "./helpers.ts";
import { F32, F64, I32, I64, type ValueType } from "./wasm/opcodes.ts";
void F32;
void F64;
const defs: HelperDefinition[] = [];
for (const [p, t] of [
  ["f32", I32],
  ["f64", I64],
] as [string, ValueType][]) {
  const add = (n: string, parameters: ValueType[], result: ValueType): void => {
    defs.push({ name: p + "_" + n, signature: { parameters, result }, body: (f) => f.unreachable() });
  };
  for (const n of ["add", "sub", "mul", "div"]) add(n, [I32, I32, t, t], t);
  add("sqrt", [I32, I32, t], t);
  add("fma", [I32, I32, t, t, t], t);
  for (const n of ["min", "max"]) add(n, [I32, t, t], t);
  for (const n of ["eq", "lt", "le"]) add(n, [I32, t, t], I32);
  add("class", [t], I32);
  for (const n of ["to_w", "to_wu", "to_l", "to_lu"]) add(n, [I32, I32, t], I64);
  for (const n of ["from_l", "from_lu"]) add(n, [I32, I32, I64], t);
}
defs.push({
  name: "f32_from_f64",
  signature: { parameters: [I32, I32, I64], result: I32 },
  body: (f) => f.unreachable(),
});
defs.push({
  name: "f64_from_f32",
  signature: { parameters: [I32, I32, I32], result: I64 },
  body: (f) => f.unreachable(),
});
export const FLOAT_HELPERS: readonly HelperDefinition[] = defs;
