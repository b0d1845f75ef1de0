// Reads recorded files as web pages do.
//   node files.mjs boxes FILE             mp4box.js: what it says of a file
//   node files.mjs video FILE SECONDS...  Chromium's <video>, over HTTP ranges: seeks, and tells what is shown
// NODE_PATH names the modules. Prints one JSON object.
import { createRequire } from "node:module";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_PATH, "x.js"));
const [what, file, ...seconds] = process.argv.slice(2);
const told = what === "boxes" ? await boxes() : await video();
console.log(JSON.stringify(told));

function boxes() {
  const { createFile } = require("mp4box");
  const reader = createFile();
  const bytes = fs.readFileSync(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  buffer.fileStart = 0;
  return new Promise((done, failed) => {
    reader.onError = failed;
    reader.appendBuffer(buffer);
    reader.flush();
    const info = reader.getInfo();
    done({
      seconds: info.duration / info.timescale,
      all_seconds: info.fragment_duration.num / info.fragment_duration.den,
      samples: info.tracks.map((track) => track.nb_samples),
    });
  });
}

async function video() {
  const { chromium } = require("playwright-core");
  // Of each request little is sent before the page knows how long the film is: who has to look at
  // all of it must ask again and again.
  const LITTLE = 1 << 20;
  const asked = [];
  let send;
  const isKnown = new Promise((done) => { send = done; });
  const size = fs.statSync(file).size;
  const server = http.createServer(async (request, answer) => {
    if (request.url !== "/film.mp4") {
      answer.setHeader("Content-Type", "text/html");
      return answer.end("<video id=video muted></video>");
    }
    const [, first, last] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "bytes=0-");
    const [from, to] = [Number(first), last ? Number(last) : size - 1];
    asked.push(from);
    answer.writeHead(206, {
      "Content-Type": "video/mp4", "Accept-Ranges": "bytes",
      "Content-Range": `bytes ${from}-${to}/${size}`, "Content-Length": to - from + 1,
    });
    const bytes = fs.readFileSync(file).subarray(from, to + 1);
    answer.write(bytes.subarray(0, LITTLE));
    await isKnown;
    answer.end(bytes.subarray(LITTLE));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    const length = await tab.evaluate(() => new Promise((done, failed) => {
      const video = document.getElementById("video");
      video.onloadedmetadata = () => done(video.duration);
      video.onerror = () => failed(video.error.message);
      video.src = "/film.mp4";
    }));
    const requests = asked.length;
    send();
    const shown = [];
    for (const to of seconds) shown.push(await tab.evaluate(seek, Number(to)));
    return { seconds: length, requests, shown };
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

// Runs in the page: goes there and reads the number of the picture that is shown.
async function seek(to) {
  const video = document.getElementById("video");
  await new Promise((done) => {
    video.onseeked = done;
    video.currentTime = to;
  });
  const canvas = new OffscreenCanvas(640, 16);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, 640, 16, 0, 0, 640, 16);
  const luma = context.getImageData(0, 8, 640, 1).data;
  let number = 0;
  for (let bit = 0; bit < 32; bit += 1) number = number * 2 + (luma[(bit * 16 + 8) * 4] > 128 ? 1 : 0);
  return number;
}
