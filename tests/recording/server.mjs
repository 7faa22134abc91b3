// The local web server: the page, held back as asked, and the recorder of what the page sends.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { deflateSync, crc32 } from "node:zlib";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const here = (path) => new URL(path, import.meta.url);

// A grey noise image: browsers do not take a nearly empty picture as the largest contentful one.
function noise(width, height) {
  const rows = Buffer.alloc(height * (width + 1));
  let state = 1;
  for (let i = 0; i < rows.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    rows[i] = i % (width + 1) === 0 ? 0 : state >>> 24;
  }
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(body.length + 8);
    frame.writeUInt32BE(data.length, 0);
    body.copy(frame, 4);
    frame.writeUInt32BE(crc32(body), body.length + 4);
    return frame;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Starts the server on a free loopback port; `collect(message, receivedMs)` gets each beacon. */
export async function serve(collect) {
  const html = await readFile(here("page/index.html"), "utf8");
  const script = await readFile(here("page/page.js"));
  const library = await readFile(here("node_modules/web-vitals/dist/web-vitals.attribution.js"));
  const image = noise(240, 120);

  async function answer(request, response) {
    const url = new URL(request.url, "http://localhost");
    const number = (name) => Number(url.searchParams.get(name) ?? 0);
    const send = (type, body) => {
      // No "no-store": it would keep the page out of the back/forward cache.
      response.writeHead(200, { "content-type": type, "cache-control": "no-cache" });
      response.end(body);
    };
    if (url.pathname === "/collect") {
      const parts = [];
      for await (const part of request) parts.push(part);
      collect(JSON.parse(Buffer.concat(parts).toString()), Date.now());
      response.writeHead(204).end();
    } else if (url.pathname === "/page.js") send("text/javascript", script);
    else if (url.pathname === "/web-vitals.js") send("text/javascript", library);
    else if (url.pathname === "/bye") send("text/html", "<!doctype html><title>bye</title><p>bye</p>");
    else if (url.pathname === "/style.css") {
      await sleep(number("ms"));
      send("text/css", "h2 { color: #333; }");
    } else if (url.pathname === "/hero.png") {
      await sleep(number("ms"));
      send("image/png", image);
    } else {
      await sleep(number("ttfb"));
      const style = number("css") > 0 ? `<link rel="stylesheet" href="/style.css?ms=${number("css")}">` : "";
      const hero = url.searchParams.get("heroKind") === "text" ? "" : `<img id="hero" alt="" src="/hero.png?ms=${number("hero")}">`;
      send("text/html", html.replace("<!-- STYLE -->", style).replace("<!-- HERO -->", hero));
    }
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      console.error(request.url, error);
      response.writeHead(500).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
