// The generated contract as one registry, and its rules and options as a client uses them.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { createRegistry, getOption, hasOption } from "@bufbuild/protobuf";
import type { DescFile, DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";

import { event } from "../gen/cartsnitch/options/v1/event_pb.js";

const GENERATED = fileURLToPath(new URL("../gen/cartsnitch/", import.meta.url));

async function files(): Promise<DescFile[]> {
  const found: DescFile[] = [];
  for (const name of await readdir(GENERATED, { recursive: true })) {
    if (!name.endsWith("_pb.js")) continue;
    const module: Record<string, unknown> = await import(pathToFileURL(join(GENERATED, name)).href);
    for (const [key, value] of Object.entries(module)) {
      if (key.startsWith("file_")) found.push(value as DescFile);
    }
  }
  return found;
}

/** Every message, enum, service and option of the contract. */
export const registry = createRegistry(...(await files()));

const validator = createValidator({ registry });

/** The rules that a message breaks, as `field.path: rule.id`, sorted by code point. */
export function brokenRules(schema: DescMessage, message: Message): string[] {
  const result = validator.validate(schema, message);
  switch (result.kind) {
    case "valid":
      return [];
    case "error":
      throw result.error;
    case "invalid":
      return result.violations
        .map((one) => [pathToString(one.field), one.ruleId].filter((part) => part).join(": "))
        .sort();
  }
}

/** The channel of an event's payload; undefined for any other message. */
export function channelOf(schema: DescMessage): string | undefined {
  return hasOption(schema, event) ? getOption(schema, event).channel : undefined;
}

/** Every channel of the contract with the name of its payload. */
export function channels(): Map<string, string> {
  const found = new Map<string, string>();
  for (const type of registry) {
    const channel = type.kind === "message" ? channelOf(type) : undefined;
    if (channel !== undefined) found.set(channel, type.typeName);
  }
  return found;
}
