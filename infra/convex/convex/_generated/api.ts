// What `npx convex codegen` makes, by hand: it would ask for an account.
import { anyApi, type ApiFromModules, type FilterApi, type FunctionReference } from "convex/server";
import type * as sync from "../sync";

type Modules = ApiFromModules<{ sync: typeof sync }>;

export const internal = anyApi as unknown as FilterApi<Modules, FunctionReference<any, "internal">>;
