import { convexTest } from "convex-test";
import { beforeEach, describe, expect, test } from "vitest";
import { internal } from "../convex/_generated/api";
import schema from "../convex/schema";

const modules = import.meta.glob("../convex/**/*.ts");
const { hashes, keys, recordSync, removeBatch, upsertBatch } = internal.sync;

const deployment = () => convexTest(schema, modules);
let t: ReturnType<typeof deployment>;
beforeEach(() => {
  t = deployment();
});

const FIELDS = ["company_name", "status", "is_active", "email", "phone"];

const contractor = (neonId: string, hash = "h1", more: Record<string, unknown> = {}) => ({
  neonId,
  hash,
  fields: { company_name: `Contractor ${neonId}`, is_active: true, ...more },
});

const push = (...rows: ReturnType<typeof contractor>[]) =>
  t.mutation(upsertBatch, { table: "contractors", fields: FIELDS, rows });

const contractors = () => t.run((ctx) => ctx.db.query("contractors").collect());
const records = () => t.run((ctx) => ctx.db.query("syncRecords").collect());
const hashesOf = (...neonIds: string[]) => t.query(hashes, { table: "contractors", neonIds });
const keysAfter = (after?: string, limit = 500) => t.query(keys, { table: "contractors", after, limit });

describe("upsertBatch", () => {
  test("a row that is pushed again is the same row", async () => {
    expect(await push(contractor("1"), contractor("2"))).toEqual({ inserted: 2, updated: 0 });
    const [before] = await contractors();
    expect(await push(contractor("1", "h2", { phone: "+27821234567" }))).toEqual({ inserted: 0, updated: 1 });
    const after = await contractors();
    expect(after).toHaveLength(2);
    expect(after[0]).toMatchObject({ _id: before!._id, neon_id: "1", phone: "+27821234567" });
    expect(after[0]!.synced_at).toBeTypeOf("number");
  });

  test("what became NULL is cleared, and what is not the mirror's is left alone", async () => {
    await push(contractor("1", "h1", { email: "office@karoo.example" }));
    await t.run(async (ctx) => {
      const [row] = await ctx.db.query("contractors").collect();
      await ctx.db.patch(row!._id, { address: "entered in an application" });
    });
    await push(contractor("1", "h2"));
    const [row] = await contractors();
    expect(row).not.toHaveProperty("email");
    expect(row).toMatchObject({ address: "entered in an application" });
  });

  test("without fields, the whole document is the mirror's", async () => {
    const row = (fields: object) => ({ neonId: "7", hash: "h", fields });
    await t.mutation(upsertBatch, { table: "sow_poles", rows: [row({ height: 9, note: "x" })] });
    await t.mutation(upsertBatch, { table: "sow_poles", rows: [row({ height: 7, tags: ["a", "b"] })] });
    const [pole] = await t.run((ctx) => ctx.db.query("sow_poles").collect());
    expect(pole).toMatchObject({ neon_id: "7", height: 7, tags: ["a", "b"] });
    expect(pole).not.toHaveProperty("note");
  });

  test("all rows of a call or none, and the reason names the row", async () => {
    await push(contractor("0"));
    const bad = contractor("2", "h", { email: null });
    await expect(push(contractor("1"), bad, contractor("3"))).rejects.toThrow(/contractors 2: .*/);
    expect(await contractors()).toHaveLength(1);
    expect(await records()).toHaveLength(1);
    await expect(push({ ...contractor("1"), fields: { is_active: true } as never })).rejects.toThrow();
    await expect(push(contractor("1", "h", { colour: "blue" }))).rejects.toThrow();
  });

  test("at most a hundred rows, of a table that is mirrored", async () => {
    const rows = Array.from({ length: 101 }, (_, n) => contractor(`${n}`));
    await expect(push(...rows)).rejects.toThrow(/101 in one call/);
    expect(await push(...rows.slice(1))).toEqual({ inserted: 100, updated: 0 });
    expect(await push()).toEqual({ inserted: 0, updated: 0 });
    for (const table of ["syncRecords", "users", "toString"]) {
      await expect(t.mutation(upsertBatch, { table, rows: [] })).rejects.toThrow(/no mirrored table/);
    }
  });

  test("of a row that is there several times, the oldest is written", async () => {
    await t.run(async (ctx) => {
      for (const company_name of ["first", "second"]) {
        await ctx.db.insert("contractors", { neon_id: "1", company_name, is_active: true });
      }
    });
    expect(await push(contractor("1"))).toEqual({ inserted: 0, updated: 1 });
    expect((await contractors()).map((row) => row.company_name)).toEqual(["Contractor 1", "second"]);
  });
});

describe("hashes", () => {
  test("are those of what is stored, in the order of the keys", async () => {
    await push(contractor("1", "a"), contractor("2", "b"));
    expect(await hashesOf("2", "9", "1")).toEqual(["b", null, "a"]);
    expect(await t.query(hashes, { table: "projects", neonIds: ["1"] })).toEqual([null]);
  });

  test("are none of what was refused or removed since", async () => {
    await push(contractor("1", "a"), contractor("2", "b"));
    await t.mutation(recordSync, {
      table: "contractors",
      records: [{ neonId: "1", syncStatus: "failed", errorMessage: "column budget: no number" }],
    });
    await t.mutation(removeBatch, { table: "contractors", neonIds: ["2"] });
    expect(await hashesOf("1", "2")).toEqual([null, null]);
    await push(contractor("1", "a"), contractor("2", "b"));
    expect(await hashesOf("1", "2")).toEqual(["a", "b"]);
    expect((await records()).every((record) => record.errorMessage === undefined)).toBe(true);
  });
});

describe("removeBatch", () => {
  test("marks rows, once, and a row that comes back is unmarked", async () => {
    await push(contractor("1"), contractor("2"));
    expect(await t.mutation(removeBatch, { table: "contractors", neonIds: ["1", "9"] })).toEqual({ removed: 1 });
    const [marked] = await contractors();
    expect(marked).toMatchObject({ neon_id: "1", is_active: false });
    expect(await t.mutation(removeBatch, { table: "contractors", neonIds: ["1"] })).toEqual({ removed: 0 });
    expect((await contractors())[0]!.removed_at).toBe(marked!.removed_at);

    await push(contractor("1"));
    const [back] = await contractors();
    expect(back).toMatchObject({ is_active: true });
    expect(back).not.toHaveProperty("removed_at");
  });

  test("marks rows of tables that know no activity", async () => {
    const project = { neonId: "p1", hash: "h", fields: { name: "Lawley", status: "active" } };
    const fields = ["name", "description", "status"];
    await t.mutation(upsertBatch, { table: "projects", fields, rows: [project] });
    await t.mutation(removeBatch, { table: "projects", neonIds: ["p1"] });
    const projects = () => t.run((ctx) => ctx.db.query("projects").collect());
    expect((await projects())[0]).toMatchObject({ is_active: false, status: "active" });
    await t.mutation(upsertBatch, { table: "projects", fields, rows: [project] });
    expect((await projects())[0]).not.toHaveProperty("is_active");
  });

  test("forgets what was refused and never stored", async () => {
    const records_ = [{ neonId: "1", syncStatus: "failed" as const, errorMessage: "x" }];
    await t.mutation(recordSync, { table: "contractors", records: records_ });
    expect(await keysAfter()).toEqual({ keys: ["1"], next: null });
    expect(await t.mutation(removeBatch, { table: "contractors", neonIds: ["1"] })).toEqual({ removed: 0 });
    expect(await records()).toEqual([]);
  });
});

describe("keys", () => {
  test("come in pages, without those that are removed", async () => {
    await push(...["a", "b", "c", "d", "e"].map((key) => contractor(key)));
    await t.mutation(removeBatch, { table: "contractors", neonIds: ["b"] });
    await t.mutation(recordSync, { table: "contractors", records: [{ syncStatus: "success" }] });
    expect(await keysAfter(undefined, 2)).toEqual({ keys: ["a"], next: "b" });
    expect(await keysAfter("b", 2)).toEqual({ keys: ["c", "d"], next: "d" });
    expect(await keysAfter("d", 2)).toEqual({ keys: ["e"], next: null });
    expect(await keysAfter("e", 2)).toEqual({ keys: [], next: null });
    await expect(keysAfter(undefined, 501)).rejects.toThrow();
  });
});

describe("recordSync", () => {
  test("keeps one record a row and one a table", async () => {
    await push(contractor("1"));
    const counts = { read: 2, changed: 1, unchanged: 0, removed: 0, refused: 1 };
    for (const syncStatus of ["failed", "success"] as const) {
      await t.mutation(recordSync, { table: "contractors", records: [{ syncStatus, counts }] });
    }
    const [row, table, ...others] = await records();
    const [document] = await contractors();
    expect(row).toMatchObject({
      tableName: "contractors",
      neonId: "1",
      convexId: document!._id,
      syncStatus: "success",
      contentHash: "h1",
    });
    expect(table).toMatchObject({ tableName: "contractors", syncStatus: "success", counts });
    expect(table).not.toHaveProperty("neonId");
    expect(others).toEqual([]);
  });
});
