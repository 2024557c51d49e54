import { convexTest } from "convex-test";
import type { FunctionReference } from "convex/server";
import { expect, test } from "vitest";
import { internal } from "../convex/_generated/api";
import schema from "../convex/schema";
import scenario from "./scenario.json";

const modules = import.meta.glob("../convex/**/*.ts");

/** The stand-in in Rust is held to the same file. */
test("each call answers as the scenario says", async () => {
  const t = convexTest(schema, modules);
  for (const call of scenario.calls) {
    const name = call.path.slice("sync:".length) as keyof typeof internal.sync;
    const isQuery = name === "hashes" || name === "keys";
    type Query = FunctionReference<"query", "internal", any, unknown>;
    type Mutation = FunctionReference<"mutation", "internal", any, unknown>;
    const run = () =>
      isQuery
        ? t.query(internal.sync[name] as Query, call.args)
        : t.mutation(internal.sync[name] as Mutation, call.args);
    if (call.refused !== undefined) {
      await expect(run(), call.path).rejects.toThrow(call.refused);
    } else {
      expect(await run(), JSON.stringify(call)).toEqual(call.answer);
    }
  }
  for (const [table, expected] of Object.entries(scenario.documents)) {
    const documents = await t.run((ctx) => ctx.db.query(table as "sow_poles").collect());
    const shown = documents.map((document) => {
      const { _id, _creationTime, synced_at, removed_at, ...rest } = document as Record<string, unknown>;
      return removed_at === undefined ? rest : { ...rest, removed: true };
    });
    expect(shown).toEqual(expected);
  }
});
