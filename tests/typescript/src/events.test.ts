// What a client knows of events: each payload's channel, as Python reads it from the same option.

import assert from "node:assert/strict";
import { test } from "node:test";

import { getOption } from "@bufbuild/protobuf";

import { EnvelopeSchema } from "../gen/cartsnitch/event/v1/envelope_pb.js";
import { PricesUpdatedSchema } from "../gen/cartsnitch/event/v1/price_events_pb.js";
import { event } from "../gen/cartsnitch/options/v1/event_pb.js";
import { Service } from "../gen/cartsnitch/options/v1/service_pb.js";
import { MoneySchema } from "../gen/cartsnitch/type/v1/money_pb.js";
import { channelOf, channels } from "./contract.js";

test("a payload's option names its channel and its publishers", () => {
  const option = getOption(PricesUpdatedSchema, event);
  assert.equal(option.channel, "cartsnitch.prices.updated");
  assert.deepEqual(option.publishers, [Service.RECEIPTWITNESS, Service.STICKERSHOCK]);
});

test("a message that is no event has no channel", () => {
  assert.equal(channelOf(MoneySchema), undefined);
});

test("each payload of the envelope is an event, and there are no others", () => {
  const payload = EnvelopeSchema.oneofs.find((oneof) => oneof.name === "payload");
  const names = payload?.fields.map((field) => field.message?.typeName);
  assert.deepEqual([...channels().values()].sort(), names?.sort());
});

test("the channels are those that Python knows", () => {
  const known = JSON.parse(process.env["CARTSNITCH_CHANNELS"] ?? "{}");
  assert.deepEqual(Object.fromEntries(channels()), known);
});
