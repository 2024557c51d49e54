// What sync-databases calls. All functions are internal: only the holder of a deploy key reaches them.
//
// A mutation is a transaction: a document and its record in syncRecords are written together or not at all, so the hash in a
// record is that of what is stored, whatever becomes of the sync that stored it.

import { ConvexError, v, type Value } from "convex/values";
import { internalMutation, internalQuery, type MutationCtx, type QueryCtx } from "./_generated/server";
import schema from "./schema";

/** The most documents that one call writes, and the most that one call reads about. */
const WRITES = 100;
const READS = 500;

type Fields = Record<string, Value | undefined>;

/** What the functions do with any mirrored table; its own documents are of a type that is known only when they run. */
type AnyTable = "sow_drops";

function mirrored(table: string): AnyTable {
  if (!Object.hasOwn(schema.tables, table) || table === "syncRecords") {
    throw new ConvexError(`there is no mirrored table ${table}`);
  }
  return table as AnyTable;
}

function atMost(limit: number, count: number) {
  if (count > limit) {
    throw new ConvexError(`${count} in one call, where ${limit} may be`);
  }
}

function recordOf(ctx: QueryCtx, table: string, neonId: string | undefined) {
  return ctx.db
    .query("syncRecords")
    .withIndex("by_table_and_neon_id", (q) => q.eq("tableName", table).eq("neonId", neonId))
    .first();
}

/** The oldest, should an earlier sync have put a row in several times. */
function documentOf(ctx: QueryCtx, table: AnyTable, neonId: string) {
  return ctx.db
    .query(table)
    .withIndex("by_neon_id", (q) => q.eq("neon_id", neonId))
    .first();
}

/** For each key, the hash of what is stored; null where nothing is, or it was refused or removed since. */
export const hashes = internalQuery({
  args: { table: v.string(), neonIds: v.array(v.string()) },
  handler: async (ctx, { table, neonIds }): Promise<(string | null)[]> => {
    atMost(READS, neonIds.length);
    mirrored(table);
    const records = await Promise.all(neonIds.map((neonId) => recordOf(ctx, table, neonId)));
    return records.map((record) => record?.contentHash ?? null);
  },
});

/** Keys of rows that are not removed, after a key; `next` is where to go on. */
export const keys = internalQuery({
  args: { table: v.string(), after: v.optional(v.string()), limit: v.number() },
  handler: async (ctx, { table, after, limit }): Promise<{ keys: string[]; next: string | null }> => {
    atMost(READS, limit);
    mirrored(table);
    // The record of the table itself has no key, and comes before "".
    const records = await ctx.db
      .query("syncRecords")
      .withIndex("by_table_and_neon_id", (q) => q.eq("tableName", table).gt("neonId", after ?? ""))
      .take(limit + 1);
    const page = records.slice(0, limit);
    return {
      keys: page.filter((record) => record.removedAt === undefined).map((record) => record.neonId as string),
      next: records.length > limit ? (page.at(-1)?.neonId ?? null) : null,
    };
  },
});

/**
 * Puts rows where their `neon_id` is, or else in as new ones.
 *
 * With `fields`, these are the mirror's: those a row has not are cleared, and all others of a document are left alone.
 * Without, the whole document is the mirror's.
 */
export const upsertBatch = internalMutation({
  args: {
    table: v.string(),
    fields: v.optional(v.array(v.string())),
    rows: v.array(v.object({ neonId: v.string(), hash: v.string(), fields: v.any() })),
  },
  handler: async (ctx, { table: name, fields: owned, rows }) => {
    atMost(WRITES, rows.length);
    const table = mirrored(name);
    const now = Date.now();
    let inserted = 0;
    for (const { neonId, hash, fields } of rows) {
      const existing = await documentOf(ctx, table, neonId);
      const document: Fields = { ...fields, neon_id: neonId, synced_at: now };
      try {
        let convexId;
        if (existing === null) {
          convexId = await ctx.db.insert(table, document);
          inserted += 1;
        } else {
          convexId = existing._id;
          if (owned === undefined) {
            await ctx.db.replace(convexId, document);
          } else {
            // A mark of removal goes, whoever owns the fields it is in.
            const cleared: Fields = { is_active: undefined, removed_at: undefined };
            for (const field of owned) cleared[field] = undefined;
            await ctx.db.patch(convexId, { ...cleared, ...document });
          }
        }
        await record(ctx, name, neonId, { convexId, contentHash: hash, syncStatus: "success", lastSyncedAt: now });
      } catch (error) {
        // Outside of development, only what a ConvexError holds reaches the caller.
        throw new ConvexError(`${name} ${neonId}: ${reasonOf(error)}`);
      }
    }
    return { inserted, updated: rows.length - inserted };
  },
});

/** Marks rows as gone. What was refused and never stored is forgotten. */
export const removeBatch = internalMutation({
  args: { table: v.string(), neonIds: v.array(v.string()) },
  handler: async (ctx, { table: name, neonIds }) => {
    atMost(WRITES, neonIds.length);
    const table = mirrored(name);
    const now = Date.now();
    let removed = 0;
    for (const neonId of neonIds) {
      const existing = await documentOf(ctx, table, neonId);
      const known = await recordOf(ctx, name, neonId);
      if (existing === null) {
        if (known !== null) await ctx.db.delete(known._id);
        continue;
      }
      if ((existing as Fields).removed_at === undefined) {
        await ctx.db.patch(existing._id, { is_active: false, removed_at: now });
        removed += 1;
      }
      await record(ctx, name, neonId, {
        convexId: existing._id,
        syncStatus: "success",
        lastSyncedAt: now,
        removedAt: now,
      });
    }
    return { removed };
  },
});

/** Notes how rows, or with no `neonId` a table, fared. A row that failed counts as not stored: it is tried again. */
export const recordSync = internalMutation({
  args: {
    table: v.string(),
    records: v.array(
      v.object({
        neonId: v.optional(v.string()),
        syncStatus: schema.tables.syncRecords.validator.fields.syncStatus,
        errorMessage: v.optional(v.string()),
        counts: schema.tables.syncRecords.validator.fields.counts,
      }),
    ),
  },
  handler: async (ctx, { table: name, records }) => {
    atMost(WRITES, records.length);
    const table = mirrored(name);
    const now = Date.now();
    for (const { neonId, ...rest } of records) {
      const existing = neonId === undefined ? null : await documentOf(ctx, table, neonId);
      await record(ctx, name, neonId, { convexId: existing?._id, lastSyncedAt: now, ...rest });
    }
    return null;
  },
});

type RecordFields = {
  convexId?: string;
  lastSyncedAt: number;
  syncStatus: "success" | "failed" | "pending";
  errorMessage?: string;
  contentHash?: string;
  removedAt?: number;
  counts?: { read: number; changed: number; unchanged: number; removed: number; refused: number };
};

/** Puts a record in the place of the one there is, all of it. */
async function record(ctx: MutationCtx, tableName: string, neonId: string | undefined, fields: RecordFields) {
  const known = await recordOf(ctx, tableName, neonId);
  const document = { tableName, neonId, ...fields };
  if (known === null) {
    await ctx.db.insert("syncRecords", document);
  } else {
    await ctx.db.replace(known._id, document);
  }
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // A validator's message quotes the whole document, which is nobody else's business.
  return text.split("\n")[0]?.replace(/(Object|Value|Path|Validator):.*/s, "").trim().slice(0, 300) ?? "";
}
