// What Python wrote, TypeScript reads, writes and judges alike: each golden vector of each message.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescMessage, JsonValue, Message } from "@bufbuild/protobuf";

import { brokenRules, registry } from "./contract.js";

interface Vector {
  binary: string;
  json: JsonValue;
  breaks: string[];
}

const golden = process.env["CARTSNITCH_GOLDEN"];
assert(golden, "CARTSNITCH_GOLDEN names the folder of the vectors");

function schemaOf(message: string): DescMessage {
  const schema = registry.getMessage(message);
  assert(schema, `${message} was not generated`);
  return schema;
}

/** Runs a check on every case of a message, and says which case it was that failed. */
function forEachCase(
  message: string,
  check: (schema: DescMessage, vector: Vector, name: string) => void,
): void {
  const schema = schemaOf(message);
  for (const file of readdirSync(join(golden as string, message))) {
    const text = readFileSync(join(golden as string, message, file), "utf8");
    try {
      check(schema, JSON.parse(text) as Vector, file);
    } catch (error) {
      throw new Error(`${message}/${file}`, { cause: error });
    }
  }
}

function decoded(schema: DescMessage, vector: Vector): Message {
  return fromBinary(schema, Buffer.from(vector.binary, "base64"));
}

const messages = readdirSync(golden).sort();

for (const message of messages) {
  test(`${message}: the bytes are encoded again as they were`, () => {
    forEachCase(message, (schema, vector) => {
      const bytes = toBinary(schema, decoded(schema, vector));
      assert.equal(Buffer.from(bytes).toString("base64"), vector.binary);
    });
  });

  test(`${message}: the JSON form is the same`, () => {
    forEachCase(message, (schema, vector) => {
      assert.deepEqual(toJson(schema, decoded(schema, vector), { registry }), vector.json);
    });
  });

  test(`${message}: the JSON form of what may be sent is read back`, () => {
    forEachCase(message, (schema, vector, name) => {
      // JSON has no unknown fields: what they were is lost in it, in every language.
      if (vector.breaks.length > 0 || /unknown/.test(name)) return;
      const bytes = toBinary(schema, fromJson(schema, vector.json, { registry }));
      assert.equal(Buffer.from(bytes).toString("base64"), vector.binary);
    });
  });

  test(`${message}: the same rules are broken`, () => {
    forEachCase(message, (schema, vector) => {
      assert.deepEqual(brokenRules(schema, decoded(schema, vector)), vector.breaks);
    });
  });
}

test("every message of the contract has vectors", () => {
  const ours = [...registry].filter((type) => type.kind === "message");
  const names = ours.map((type) => type.typeName).filter((name) => name.startsWith("cartsnitch."));
  assert.deepEqual(messages, names.sort());
});
