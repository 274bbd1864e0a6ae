// A small client as an application would write it. It is compiled, which is its test: each line
// under @ts-expect-error has to be an error, or compiling fails.

import { create } from "@bufbuild/protobuf";

import { StoreSlug } from "../gen/cartsnitch/catalog/v1/store_pb.js";
import { EnvelopeSchema, type Envelope } from "../gen/cartsnitch/event/v1/envelope_pb.js";
import { PurchaseService } from "../gen/cartsnitch/purchase/v1/purchase_service_pb.js";
import { PurchaseSchema, type Purchase } from "../gen/cartsnitch/purchase/v1/purchase_pb.js";
import { MoneySchema, type Money } from "../gen/cartsnitch/type/v1/money_pb.js";

/** Cents as an exact amount. */
export function dollars(cents: bigint): Money {
  return create(MoneySchema, {
    currencyCode: "USD",
    units: cents / 100n,
    nanos: Number(cents % 100n) * 10_000_000,
  });
}

export function aPurchase(userId: string): Purchase {
  const purchase = create(PurchaseSchema, {
    userId,
    receiptId: "0042",
    purchaseDate: { year: 2026, month: 3, day: 10 },
    total: dollars(8742n),
    items: [{ productNameRaw: "OAT RINGS 12OZ", quantity: { value: "1" }, unitPrice: dollars(349n) }],
  });
  // What is optional may be unset, and the compiler asks for that case.
  const url: string | undefined = purchase.sourceUrl;
  // @ts-expect-error - it may be unset
  const wrong: string = purchase.sourceUrl;
  // @ts-expect-error - money is no number: a float loses cents
  purchase.total = 87.42;
  // @ts-expect-error - whole units are 64 bits wide
  purchase.tax = create(MoneySchema, { units: 3.5 });
  // @ts-expect-error - a purchase has no such field
  purchase.hashedPassword = `${url} ${wrong}`;
  return purchase;
}

/** What a page shows of an event. Every payload is handled: the compiler sees to it. */
export function headline(envelope: Envelope): string {
  const { payload } = envelope;
  switch (payload.case) {
    case "receiptsIngested":
      return `${payload.value.receipts.length} receipts from ${StoreSlug[payload.value.store]}`;
    case "pricesUpdated":
      return `${payload.value.observations.length} prices`;
    case "productsNormalized":
      return `${payload.value.matches.length} matches`;
    case "couponsUpdated":
      return `${payload.value.coupons.length} coupons`;
    case "priceIncreaseDetected":
      return `${payload.value.canonicalName} rose to ${payload.value.currentPrice?.units}`;
    case "shrinkflationDetected":
      return `${payload.value.canonicalName} shrank to ${payload.value.finding?.newSize}`;
    case undefined:
      return "an event of a later version";
    default:
      return payload satisfies never;
  }
}

export const empty = headline(create(EnvelopeSchema));
export const recordsPurchases: "unary" = PurchaseService.method.recordPurchase.methodKind;
