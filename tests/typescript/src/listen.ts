// Listens on every channel of the contract and prints what comes, one JSON document a line:
// first {"ready": true}, then of each event what TypeScript makes of its bytes.
// It ends after as many events as its argument says.

import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { createClient } from "redis";

import { EnvelopeSchema } from "../gen/cartsnitch/event/v1/envelope_pb.js";
import { headline } from "./client.js";
import { brokenRules, channelOf, channels, registry } from "./contract.js";

const url = process.env["CARTSNITCH_REDIS_URL"];
if (!url) throw new Error("CARTSNITCH_REDIS_URL is not set");
let left = Number(process.argv[2] ?? "1");

const client = createClient({ url });
client.on("error", (error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
await client.connect();
const done = new Promise<void>((resolve) => {
  const onEvent = (bytes: Buffer, channel: Buffer): void => {
    const envelope = fromBinary(EnvelopeSchema, bytes);
    const payload = envelope.payload.value;
    const schema = payload && registry.getMessage(payload.$typeName);
    const report = {
      channel: channel.toString(),
      channelOfPayload: schema && channelOf(schema),
      headline: headline(envelope),
      json: toJson(EnvelopeSchema, envelope, { registry }),
      breaks: brokenRules(EnvelopeSchema, envelope),
      sameBytes: bytes.equals(toBinary(EnvelopeSchema, envelope)),
    };
    console.log(JSON.stringify(report));
    left -= 1;
    if (left === 0) resolve();
  };
  void client
    .subscribe([...channels().keys()], onEvent, true)
    .then(() => console.log(JSON.stringify({ ready: true })));
});
await done;
await client.close();
