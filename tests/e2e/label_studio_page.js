// Drives Label Studio's page in Chromium as an annotator does, and prints the regions that the backend answered,
// and those that are there at the end, read from their drawing and packed again by the page.
// node label_studio_page.js URL EMAIL PASSWORD PROJECT TASK {image|video} PICTURE.png
// Nothing is waited for by the clock: machines differ. PATIENCE only ends what will never come.
const { chromium } = require('playwright-core');

const [url, email, password, project, task, kind, picture] = process.argv.slice(2);
const PATIENCE = 240000;

const until = (page, question) => page.waitForFunction(question, null, { timeout: PATIENCE });
const label = (page, name) => page.locator('.lsf-label', { hasText: name });

// Does what makes the page ask the backend, and returns the regions of the answer.
async function ask(page, action) {
  const interactive = response => response.url().includes('interactive-annotating');
  const [response] = await Promise.all([page.waitForResponse(interactive, { timeout: PATIENCE }), action]);
  return (await response.json()).data.result;
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
  await until(page, () => window.Htx.autoAnnotation);
  return page;
}

async function clickOnImage(page) {
  await until(page, () => window.Htx.annotationStore.selected.names.get('image').imageIsLoaded);
  await label(page, 'Ball').last().click();
  await page.locator('.lsf-tool_smart').first().hover();
  await page.locator('.lsf-tool_smart[aria-label=key-point-tool]').last().evaluate(element => element.click());
  await until(page, () => {
    const { names } = window.Htx.annotationStore.selected;
    const tool = names.get('image').getToolsManager().findSelectedTool();
    return tool?.toolName === 'KeyPointTool' && tool.dynamic && names.get('point').selectedLabels.length;
  });
  // Label Studio may enlarge a picture beyond its canvas, so the picture itself says where its pixels are.
  const shown = await page.locator('img[src^="blob:"]').boundingBox();
  const at = (x, y) => [shown.x + (shown.width * x) / 640, shown.y + (shown.height * y) / 480];
  const answered = await ask(page, page.mouse.click(...at(160, 180)));
  await page.locator('[data-testid=bottombar-accept-suggestions-button]').click();
  await until(page, () => {
    const { regions, suggestions } = window.Htx.annotationStore.selected;
    return !suggestions.size && regions.length && regions.every(region => region.type === 'brushregion');
  });
  return answered;
}

async function boxOnVideo(page) {
  await until(page, () => {
    const video = window.Htx.annotationStore.selected.names.get('video');
    return video.isReady && video.length === 30;
  });
  // A small video is shown as large as it is, in the middle of its canvas.
  const canvas = await page.locator('.konvajs-content canvas').first().boundingBox();
  const at = (x, y) => [canvas.x + (canvas.width - 320) / 2 + x, canvas.y + (canvas.height - 240) / 2 + y];
  await page.mouse.move(...at(20, 60));
  await page.mouse.down();
  await page.mouse.move(...at(71, 111), { steps: 8 });
  await page.mouse.up();
  await until(page, () => window.Htx.annotationStore.selected.regions.length === 1);
  await page.mouse.click(...at(45, 85));
  await until(page, () => window.Htx.annotationStore.selected.regions[0].selected);
  const answered = await ask(page, label(page, 'Ball').first().click());
  await until(page, () => window.Htx.annotationStore.selected.regions[0].sequence.length > 1);
  await page.evaluate(() => window.Htx.annotationStore.selected.names.get('video').setFrame(20));
  await until(page, () => {
    const video = window.Htx.annotationStore.selected.names.get('video');
    return video.frame === 20 && !document.querySelector('video').seeking;
  });
  return answered;
}

async function main() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await open(browser);
    let answered;
    try {
      answered = await (kind === 'image' ? clickOnImage : boxOnVideo)(page);
    } finally {
      await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
      await page.screenshot({ path: picture });
    }
    const regions = await page.evaluate(() => window.Htx.annotationStore.selected.serializeAnnotation());
    console.log(JSON.stringify({ answered, regions }));
  } finally {
    await browser.close();
  }
}

main().catch(error => { console.error(error); process.exit(1); });
