// The parser of event streams by itself. Source: the HTML standard, "Interpreting an event stream".

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../../cidadao_rt/edges/static/client.js";

function parse(...pieces) {
  const parser = new EventStreamParser();
  return pieces.flatMap((piece) => [...parser.push(piece)]);
}

const data = (...pieces) => parse(...pieces).flatMap((item) => (item.data === undefined ? [] : [item.data]));

test("comments, unknown fields and blocks without data are no events", () => {
  assert.deepEqual(data(": hello\n\nfoo: bar\nevent: x\n\ndata: 1\n\n"), ["1"]);
});

test("several data lines are one text, and only one space is dropped", () => {
  assert.deepEqual(data("data:a\ndata:  b\ndata\n\n"), ["a\n b\n"]);
});

test("an id is told with its block alone, and a bare one without data", () => {
  assert.deepEqual(parse("id: 1\ndata: a\n\ndata: b\n\nid: 2\n\nid: 3\0\n\n"), [
    { id: "1", data: "a" },
    { id: undefined, data: "b" },
    { id: "2", data: undefined },
    { id: undefined, data: undefined },
  ]);
});

test("retry is told at once, and only as digits", () => {
  assert.deepEqual(parse("retry: 1500\nretry: 1s\nretry:\n"), [{ retry: 1500 }]);
});

test("what is not complete is not told", () => {
  assert.deepEqual(data("data: a\n\ndata: b\n"), ["a"]);
});

test("wherever a stream is cut into pieces, and however its lines end, it says the same", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const stream = ["id: 7", "data: one", "", "data: two", "data: three", "", "id: 8", "", ""].join(end);
    const whole = parse(stream, "x");
    assert.equal(whole.length, 3);
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const pieces = [stream.slice(0, first), stream.slice(first, second), stream.slice(second), "x"];
        assert.deepEqual(parse(...pieces), whole, JSON.stringify(pieces));
      }
    }
  }
});

test("an endless line is refused", () => {
  const parser = new EventStreamParser();
  assert.throws(() => {
    for (;;) [...parser.push("x".repeat(1_000_000))];
  }, RangeError);
});
