import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

// What the sync writes into any table that it mirrors.
const mirrored = {
  /** The row's key in Neon, as text. */
  neon_id: v.optional(v.string()),
  is_active: v.optional(v.boolean()),
  /** When the row was found to be gone from Neon, in milliseconds; `is_active` is false then. */
  removed_at: v.optional(v.number()),
  /** When the row was last written, in milliseconds. */
  synced_at: v.optional(v.number()),
  created_at: v.optional(v.union(v.string(), v.number())),
  updated_at: v.optional(v.union(v.string(), v.number())),
};

/** A table whose columns are whatever Neon's has. */
const asInNeon = () => defineTable(v.any()).index("by_neon_id", ["neon_id"]);

export default defineSchema({
  contractors: defineTable({
    ...mirrored,
    company_name: v.string(),
    is_active: v.boolean(),
    status: v.optional(v.string()),
    email: v.optional(v.string()),
    phone: v.optional(v.string()),
    address: v.optional(v.string()),
    contact_person: v.optional(v.string()),
  }).index("by_neon_id", ["neon_id"]),

  projects: defineTable({
    ...mirrored,
    name: v.string(),
    status: v.string(),
    description: v.optional(v.string()),
    contractor_id: v.optional(v.string()),
  }).index("by_neon_id", ["neon_id"]),

  sow_drops: asInNeon(),
  sow_poles: asInNeon(),
  onemap_installations: asInNeon(),
  onemap_poles: asInNeon(),
  nokia_exports: asInNeon(),
  activations: asInNeon(),

  // One for each mirrored row, and one without `neonId` for each table: how its last sync went.
  syncRecords: defineTable({
    tableName: v.string(),
    neonId: v.optional(v.string()),
    convexId: v.optional(v.string()),
    lastSyncedAt: v.number(),
    syncStatus: v.union(v.literal("success"), v.literal("failed"), v.literal("pending")),
    errorMessage: v.optional(v.string()),
    /** The hash of what was stored; none while the row is refused or removed, so that it is pushed when it comes again. */
    contentHash: v.optional(v.string()),
    removedAt: v.optional(v.number()),
    counts: v.optional(
      v.object({
        read: v.number(),
        changed: v.number(),
        unchanged: v.number(),
        removed: v.number(),
        refused: v.number(),
      }),
    ),
  }).index("by_table_and_neon_id", ["tableName", "neonId"]),
});
