// Opens a page in headless Chromium and waits until its video has shown so many pictures.
//   node page.mjs PAGE PICTURES
// NODE_PATH names the modules: mpegts.js comes from there and not from the network. Prints one JSON object.
import { createRequire } from "node:module";
import path from "node:path";

const modules = process.env.NODE_PATH;
const { chromium } = createRequire(path.join(modules, "x.js"))("playwright-core");
const [page, pictures] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  const tab = await browser.newPage();
  const seen = { errors: [], shown: 0 };
  tab.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  tab.on("pageerror", (error) => seen.errors.push(String(error)));
  await tab.route("https://cdn.jsdelivr.net/npm/mpegts.js@*/dist/mpegts.js",
    (route) => route.fulfill({ path: path.join(modules, "mpegts.js/dist/mpegts.js") }));
  await tab.goto(page);
  const shown = () => tab.evaluate(() => document.querySelector("video").getVideoPlaybackQuality().totalVideoFrames);
  const deadline = Date.now() + 30000;
  while ((seen.shown = await shown()) < Number(pictures) && Date.now() < deadline) await tab.waitForTimeout(20);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
