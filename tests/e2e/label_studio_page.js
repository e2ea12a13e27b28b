// Drives Label Studio's page in Chromium as an annotator does, and prints what the page sent the backend and got,
// and the regions that are there at the end, read from their drawing and packed again by the page.
// node label_studio_page.js URL EMAIL PASSWORD PROJECT TASK {click|prompts|video|again|keys|kept|smart} SCREENSHOT.png [REGION [SCENE]]
// REGION is the type of region that predictions become, as the page names it; SCENE is JSON: where things are, in pixels.
// Nothing is waited for by the clock, as machines differ: PATIENCE only ends what will never come, and what LOST
// milliseconds later has had no effect is done again: a busy page misses clicks, as an annotator knows.
const { chromium } = require('playwright-core');

const [url, email, password, project, task, kind, screenshot, regionType = 'brushregion', scene] = process.argv.slice(2);
const PATIENCE = 600000;
const LOST = 30000;

// Of shapes.png: the disc, the background below it and the blue box; of moving.mp4: the disc on frame 1.
const SHAPES = { size: [640, 480], click: [160, 180], background: [160, 300], box: [355, 175, 565, 405], labels: ['Cell', 'Debris'] };
const MOVING = { size: [320, 240], box: [20, 60, 71, 111], frames: 30, shown: 20, labels: ['Ball'] };
const { size, click, background, box, frames, shown, labels } = scene ? JSON.parse(scene) : ['video', 'again'].includes(kind) ? MOVING : SHAPES;

const until = (page, question) => page.waitForFunction(question, null, { timeout: PATIENCE });
const label = (page, name) => page.locator('.lsf-label', { hasText: name });
const accept = async page => {
  await page.locator('[data-testid=bottombar-accept-suggestions-button]').click();
  await page.waitForFunction(type => {
    const { regions, suggestions } = window.Htx.annotationStore.selected;
    return !suggestions.size && regions.length && regions.every(region => region.type === type);
  }, regionType, { timeout: PATIENCE });
};

// Does what makes the page send the backend a request, and records the regions that it sent and got.
const exchanges = [];
async function request(page, action) {
  const predicate = request => request.url().includes('interactive-annotating');
  const sent = page.waitForEvent('request', { predicate, timeout: PATIENCE });
  let interactive;
  while (!interactive) {
    await action();
    interactive = await Promise.race([sent, new Promise(lost => setTimeout(lost, LOST))]);
  }
  const response = await (await interactive.response()).json();
  exchanges.push({ sent: interactive.postDataJSON().context.result, received: response.data.result });
}

async function open(browser) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  await page.goto(`${url}/user/login/`);
  await page.fill('input[name=email]', email);
  await page.fill('input[name=password]', password);
  await Promise.all([page.waitForURL(to => !to.pathname.startsWith('/user/login')), page.click('button[type=submit]')]);
  await page.goto(`${url}/projects/${project}/data?task=${task}`);
  const toggle = page.locator('[data-testid=bottombar-auto-annotation-toggle]');
  await toggle.waitFor({ state: 'attached' });
  await page.locator('.konvajs-content canvas').first().waitFor();
  if (!(await toggle.isChecked())) await toggle.evaluate(element => element.click());
  while (!(await page.evaluate(() => window.Htx.autoAnnotation))) {  // a busy page may have missed it
    await page.waitForFunction(() => window.Htx.autoAnnotation, null, { timeout: LOST })
      .catch(() => toggle.evaluate(element => element.click()));
  }
  return page;
}

// Chooses a label of the control `name`, the one at `place` among those so written, and its smart tool.
async function choose(page, written, place, name, tool) {
  const chosen = `window.Htx.annotationStore.selected.names.get('${name}').selectedLabels.length`;
  if (!(await page.evaluate(chosen))) await label(page, written).nth(place).click();
  await until(page, chosen);
  await page.locator('.lsf-tool_smart').first().hover();
  // A smart tool without a plain one beside it (smartOnly) bears no name.
  const isOnly = await page.evaluate(() => {
    const tools = window.Htx.annotationStore.selected.names.get('image').getToolsManager().allTools();
    return tools.every(one => one.dynamic || one.toolName !== 'KeyPointTool');
  });
  const named = page.locator(isOnly ? '.lsf-tool_smart' : `.lsf-tool_smart[aria-label=${tool}]`);
  await named.last().evaluate(element => element.click());
  await until(page, () => {
    const image = window.Htx.annotationStore.selected.names.get('image');
    return image.getToolsManager().findSelectedTool()?.dynamic;
  });
}

// Where a pixel of the image is on the screen: Label Studio may enlarge an image beyond its canvas.
async function pixels(page, width, height) {
  await until(page, () => window.Htx.annotationStore.selected.names.get('image').imageIsLoaded);
  const area = await page.locator('img[src^="blob:"]').boundingBox();
  return (x, y) => [area.x + (area.width * x) / width, area.y + (area.height * y) / height];
}

async function clickOn(page, point) {
  const at = await pixels(page, ...size);
  await page.mouse.click(...at(...point));
}

async function clickOnImage(page) {
  await request(page, async () => {
    await choose(page, 'Ball', 1, 'point', 'key-point-tool');
    await clickOn(page, click);
  });
  await accept(page);
}

// A click on one thing, Alt + click on the background beside it, and a rectangle around another thing.
async function clicksAndRectangle(page) {
  await request(page, async () => {
    await choose(page, labels[0], 1, 'point', 'key-point-tool');
    await clickOn(page, click);
  });
  await request(page, async () => {
    await choose(page, labels[0], 1, 'point', 'key-point-tool');
    await page.keyboard.down('Alt');
    await clickOn(page, background);
    await page.keyboard.up('Alt');
  });
  await accept(page);
  await request(page, async () => {
    await choose(page, labels[1], 2, 'box', 'rectangle-tool');
    const at = await pixels(page, ...size);
    await drag(page, ...at(...box.slice(0, 2)), ...at(...box.slice(2)));
  });
  await accept(page);
}

async function drag(page, x0, y0, x1, y1) {
  await page.mouse.move(x0, y0);
  await page.mouse.down();
  await page.mouse.move(x1, y1, { steps: 8 });
  await page.mouse.up();
}

async function drawBox(page) {
  await page.waitForFunction(length => {
    const video = window.Htx.annotationStore.selected.names.get('video');
    return video.isReady && video.length === length;
  }, frames, { timeout: PATIENCE });
  // A small video is shown as large as it is, in the middle of its canvas.
  const canvas = await page.locator('.konvajs-content canvas').first().boundingBox();
  const at = (x, y) => [canvas.x + (canvas.width - size[0]) / 2 + x, canvas.y + (canvas.height - size[1]) / 2 + y];
  await drag(page, ...at(...box.slice(0, 2)), ...at(...box.slice(2)));
  await until(page, () => window.Htx.annotationStore.selected.regions.length === 1);
  await page.mouse.click(...at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2));
  await until(page, () => window.Htx.annotationStore.selected.regions[0].selected);
  await request(page, () => label(page, labels[0]).first().click());
}

async function boxOnVideo(page) {
  await drawBox(page);
  await until(page, () => window.Htx.annotationStore.selected.regions[0].sequence.length > 1);
  await page.evaluate(frame => window.Htx.annotationStore.selected.names.get('video').setFrame(frame), shown);
  await page.waitForFunction(frame => {
    const video = window.Htx.annotationStore.selected.names.get('video');
    return video.frame === frame && !document.querySelector('video').seeking;
  }, shown, { timeout: PATIENCE });
}

// A label that may be taken away (allowEmpty) is clicked twice, which tracks again; what the answer says stands on
// the page, beside the region that is selected.
async function labelAgain(page) {
  await drawBox(page);
  const labelled = page => page.evaluate(() => window.Htx.annotationStore.selected.regions[0].labels.length);
  await request(page, async () => { if (await labelled(page)) await label(page, labels[0]).first().click(); });
  await request(page, async () => { if (!(await labelled(page))) await label(page, labels[0]).first().click(); });
  await page.getByText('SAM 2 ').first().waitFor({ timeout: 4 * LOST });
}

// One click per object: the label and the smart tool by their keys, and Auto-Accept on. Where the page's setting keeps
// the label chosen, the second object takes the click alone.
async function keysAndAutoAccept(page, keepsLabel) {
  const toggle = page.locator('[data-testid=bottombar-auto-accept-toggle]');
  await toggle.waitFor({ state: 'attached' });
  if (!(await toggle.isChecked())) await toggle.evaluate(element => element.click());
  await page.evaluate(keeps => {
    const { settings } = window.Htx;
    if (settings.continuousLabeling !== keeps) settings.toggleContinuousLabeling();
  }, keepsLabel);
  const accepted = count => page.waitForFunction(([type, wanted]) => {
    const { regions, suggestions } = window.Htx.annotationStore.selected;
    return !suggestions.size && regions.length === wanted && regions.every(region => region.type === type);
  }, [regionType, count], { timeout: PATIENCE });
  const chosen = "window.Htx.annotationStore.selected.names.get('point').selectedLabels.length";
  const byKeys = async () => {
    if (!(await page.evaluate(chosen))) await page.keyboard.press('1');
    await until(page, chosen);
    await page.keyboard.press('m');
    await until(page, () => {
      const image = window.Htx.annotationStore.selected.names.get('image');
      return image.getToolsManager().findSelectedTool()?.dynamic;
    });
  };
  await request(page, async () => { await byKeys(); await clickOn(page, click); });
  await accepted(1);
  const next = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  await request(page, async () => { if (!keepsLabel) await byKeys(); await clickOn(page, next); });
  await accepted(2);
}

const selectedTool = page => page.evaluate(() => {
  const found = window.Htx.annotationStore.selected.names.get('image').getToolsManager().findSelectedTool();
  return { name: found?.toolName ?? found?.fullName ?? '', smart: Boolean(found?.dynamic) };
});

// Draws with one control whose labels are the first ones, the smart tool chosen by its key where there is one, and
// records what is sent within SILENCE milliseconds: that nothing is sent cannot be waited for.
const SILENCE = 15000;
async function drawSmart(page) {
  page.on('request', one => {
    if (one.url().includes('interactive-annotating')) exchanges.push({ sent: one.postDataJSON().context.result, received: [] });
  });
  const at = await pixels(page, ...size);
  const corners = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]].map(corner => at(...corner));
  await label(page, labels[0]).first().click();
  await page.keyboard.press('m');
  const tool = await selectedTool(page);
  if (/polygon|vector/i.test(tool.name)) {
    for (const corner of [...corners, corners[0]]) {
      await page.mouse.click(...corner);
      await page.waitForTimeout(400);
    }
  } else {
    await drag(page, ...corners[0], ...corners[2]);
  }
  await page.waitForTimeout(SILENCE);
  exchanges.push({ tool });
}

async function main() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await open(browser);
    try {
      await { click: clickOnImage, prompts: clicksAndRectangle, video: boxOnVideo, again: labelAgain, keys: page => keysAndAutoAccept(page, false), kept: page => keysAndAutoAccept(page, true), smart: drawSmart }[kind](page);
    } finally {
      await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
      await page.screenshot({ path: screenshot });
    }
    const regions = await page.evaluate(() => window.Htx.annotationStore.selected.serializeAnnotation());
    console.log(JSON.stringify({ exchanges, regions }));
  } finally {
    await browser.close();
  }
}

main().catch(error => { console.error(error); process.exit(1); });
