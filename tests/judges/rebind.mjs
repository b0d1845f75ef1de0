// A web page whose own name comes to point at a device, in headless Chromium.
//   node rebind.mjs PORT NAME…
// NODE_PATH names the modules. A forwarder on another loopback address plays the resolver that flips:
// first the page is behind the name, then 127.0.0.1:PORT. Prints one JSON object: for each name what each request
// was answered with, as [status, what could be read of it].
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_PATH, "x.js"));
const { chromium } = require("playwright-core");
const [port, ...names] = process.argv.slice(2);

const PAGE = "<!doctype html><title>page</title>";
let hasFlipped = false;
const forwarder = net.createServer((player) => {
  player.on("error", () => {});
  if (!hasFlipped) {
    player.once("data", () => player.end(
      `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${PAGE.length}\r\nConnection: close\r\n\r\n${PAGE}`));
    return;
  }
  const device = net.connect(Number(port), "127.0.0.1");
  device.on("error", () => player.destroy());
  player.on("close", () => device.destroy());
  device.on("close", () => player.end());
  player.pipe(device).pipe(player);
});
await new Promise((done) => forwarder.listen(Number(port), "127.0.0.3", done));

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    `--host-resolver-rules=${names.map((name) => `MAP ${name} 127.0.0.3`).join(", ")}`],
});
try {
  const seen = {};
  for (const name of names) {
    const tab = await browser.newPage();
    const origin = `http://${name}:${port}`;
    hasFlipped = false;
    await tab.goto(`${origin}/`);
    hasFlipped = true;
    seen[name] = await tab.evaluate(ask);
    const [answer] = await Promise.all([
      tab.waitForEvent("response"),
      tab.goto(`${origin}/ipc.flv?action=live`).catch(() => {}),
    ]);
    seen[name]["a link"] = [answer.status(), ""];
    await tab.close();
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  forwarder.close();
}

// Runs in the page.
async function ask() {
  const seen = {};
  const live = "/ipc.flv?action=live&channel=0&quality=super";
  const asked = [
    ["/healthz"], [live], [`/ipc.p2p.com${live}`], ["/sessions"], ["/call"], ["/speaker.wav"], ["/events"], ["/metrics"],
    ["/ipc.flv?action=download&file_name=a"],
    [live, { method: "HEAD" }],
    [live, { referrerPolicy: "no-referrer", credentials: "omit", headers: { "Accept-Language": "", "User-Agent": "curl/8" } }],
    ["/command?action=inner_define&cmd=get_nvr_list", { method: "POST" }],
  ];
  for (const [address, options = {}] of asked) {
    const what = `${options.method ?? "GET"} ${options.referrerPolicy ?? ""} ${address}`;
    try {
      const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(5000) });
      const { value } = await (answer.body?.getReader().read() ?? {});
      seen[what] = [answer.status, new TextDecoder("latin1").decode(value ?? new Uint8Array()).slice(0, 500)];
    } catch (error) {
      seen[what] = [0, `${error}`];
    }
  }
  return seen;
}
