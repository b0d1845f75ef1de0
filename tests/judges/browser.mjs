// Plays a live stream in headless Chromium and reads the time code out of what it shows.
//   node browser.mjs PAGE STREAM PICTURES
// NODE_PATH names the modules. Prints one JSON object.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_PATH, "x.js"));
const { chromium } = require("playwright-core");
const [page, stream, pictures] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required"],
});
try {
  const tab = await browser.newPage();
  await tab.goto(page);
  const seen = await tab.evaluate(play, { stream, pictures: Number(pictures) });
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}

// Runs in the page.
async function play({ stream, pictures }) {
  const video = document.getElementById("video");
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url: stream }, { enableStashBuffer: false, liveBufferLatencyChasing: true });
  const errors = [];
  const began = performance.now();
  let hasAudio = false, first = NaN;
  player.on(mpegts.Events.ERROR, (...what) => errors.push(what.map((one) => JSON.stringify(one)).join(" ")));
  player.on(mpegts.Events.MEDIA_INFO, (info) => { hasAudio = info.hasAudio; });
  video.requestVideoFrameCallback(() => { first = performance.now() - began; });
  player.attachMediaElement(video);
  player.load();
  player.play().catch(() => {});

  const canvas = new OffscreenCanvas(640, 32);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const row = (y) => {
    const luma = context.getImageData(0, y, 640, 1).data;
    let number = 0;
    for (let bit = 0; bit < 32; bit += 1) number = number * 2 + (luma[(bit * 16 + 8) * 4] > 128 ? 1 : 0);
    return number;
  };
  const numbers = [];
  let late = NaN;
  const deadline = performance.now() + 30000;
  while (video.getVideoPlaybackQuality().totalVideoFrames < pictures && !errors.length && performance.now() < deadline) {
    await new Promise((done) => setTimeout(done, 20));
    if (video.readyState < 2) continue;
    context.drawImage(video, 0, 0, 640, 32, 0, 0, 640, 32);
    numbers.push(row(8));
    late = (Date.now() % 2 ** 32) - row(24);
  }
  const quality = video.getVideoPlaybackQuality();
  const seen = { errors, hasAudio, numbers, late_ms: late, first_ms: first, decoded: quality.totalVideoFrames, dropped: quality.droppedVideoFrames };
  player.destroy();
  return seen;
}
