// A hostile web page in headless Chromium: tries by every means of the web to use a device.
//   node hostile.mjs DEVICE PAGE…
// NODE_PATH names the modules. Prints one JSON object: how many attempts each page made, and the
// statuses of all answers of the device.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_PATH, "x.js"));
const { chromium } = require("playwright-core");
const [device, ...pages] = process.argv.slice(2);
const port = new URL(device).port;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP rebound.test 127.0.0.1"],
});
try {
  const statuses = {};
  const attempts = [];
  const context = await browser.newContext();
  context.on("response", (answer) => {
    if (new URL(answer.url()).port === port) statuses[answer.status()] = (statuses[answer.status()] || 0) + 1;
  });
  for (const page of pages) {
    const tab = await context.newPage();
    await tab.goto(page);
    attempts.push(await tab.evaluate(attack, device));
    // From the page to the device itself, as a link would.
    await Promise.all([
      tab.waitForEvent("response", { predicate: (answer) => new URL(answer.url()).port === port }),
      tab.evaluate((target) => { location.href = target; }, `${device}/ipc.flv?action=live`),
    ]);
  }
  // A name of somebody else that points here.
  const tab = await context.newPage();
  for (const target of ["ipc.flv?action=live", "healthz", "metrics"]) {
    await tab.goto(`http://rebound.test:${port}/${target}`).catch(() => {});
  }
  console.log(JSON.stringify({ attempts, statuses }));
} finally {
  await browser.close();
}

// Runs in the page. Gives the number of attempts when all of them have come to an end.
async function attack(device) {
  const live = `${device}/ipc.flv?action=live`;
  const command = `${device}/command?action=inner_define&cmd=get_nvr_list`;
  const settled = [];
  const watched = (element, address) => {
    settled.push(new Promise((done) => {
      for (const event of ["load", "error", "loadeddata"]) element.addEventListener(event, done);
      setTimeout(done, 3000);
    }));
    element.src = address;
    document.body.append(element);
  };
  for (const name of ["img", "video", "audio", "script", "iframe", "embed"]) {
    for (const address of [live, command, `${device}/metrics`]) watched(document.createElement(name), address);
  }
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = live;
  document.head.append(style);

  for (const mode of ["no-cors", "cors"]) {
    for (const [address, method] of [[live, "GET"], [command, "POST"], [`${device}/healthz?`, "GET"], [live, "HEAD"]]) {
      const asked = fetch(address, { mode, method, credentials: "include", signal: AbortSignal.timeout(3000) });
      settled.push(asked.then((answer) => answer.type === "cors" && answer.text()).catch(() => {}));
    }
  }
  navigator.sendBeacon(command, "action=inner_define&cmd=get_nvr_list");

  const frame = document.createElement("iframe");
  frame.name = "target";
  document.body.append(frame);
  for (const enctype of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]) {
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", action: command, target: "target", enctype });
    document.body.append(form);
    settled.push(new Promise((done) => { frame.addEventListener("load", done); setTimeout(done, 3000); }));
    form.submit();
  }
  // Without an origin of its own.
  const sandboxed = document.createElement("iframe");
  sandboxed.sandbox = "allow-scripts";
  sandboxed.srcdoc = `<script>
    fetch(${JSON.stringify(command)}, { method: "POST", mode: "no-cors" }).catch(() => {});
    fetch(${JSON.stringify(live)}, { mode: "no-cors" }).catch(() => {});
  </script>`;
  document.body.append(sandboxed);

  const events = new EventSource(live);
  settled.push(new Promise((done) => { events.onerror = done; events.onmessage = done; setTimeout(done, 3000); }));
  const socket = new WebSocket(live.replace("http", "ws"));
  settled.push(new Promise((done) => { socket.onerror = done; socket.onopen = done; setTimeout(done, 3000); }));
  await Promise.all(settled);
  events.close();
  return settled.length;
}
