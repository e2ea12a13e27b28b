// Drives Label Studio's page in Chromium as an annotator does, and prints the regions that are there at the end.
// node label_studio_page.js URL EMAIL PASSWORD PROJECT TASK {image|video} PICTURE.png
const { chromium } = require('playwright-core');

const [url, email, password, project, task, kind, picture] = process.argv.slice(2);
const SIZE = { image: [640, 480], video: [320, 240] }[kind];

async function open(browser) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  await page.goto(`${url}/user/login/`);
  await page.fill('input[name=email]', email);
  await page.fill('input[name=password]', password);
  await Promise.all([page.waitForURL(to => !to.pathname.startsWith('/user/login')), page.click('button[type=submit]')]);
  await page.goto(`${url}/projects/${project}/data?task=${task}`);
  const toggle = page.locator('[data-testid=bottombar-auto-annotation-toggle]');
  await toggle.waitFor({ state: 'attached' });
  await page.locator('.konvajs-content canvas').first().waitFor();
  if (!(await toggle.isChecked())) await toggle.evaluate(element => element.click());
  await page.waitForTimeout(1000);
  return page;
}

// Where a pixel of the media is on the screen: the media lies in the middle of its canvas, fitted into it.
async function place(page) {
  const box = await page.locator('.konvajs-content canvas').first().boundingBox();
  const scale = kind === 'image' ? box.width / SIZE[0] : 1;
  const left = box.x + (box.width - scale * SIZE[0]) / 2;
  const top = box.y + (box.height - scale * SIZE[1]) / 2;
  return (x, y) => [left + scale * x, top + scale * y];
}

const label = (page, name) => page.locator('.lsf-label', { hasText: name });
const answered = page => page.waitForResponse(r => r.url().includes('interactive-annotating'), { timeout: 120000 });

async function drag(page, from, to) {
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(...to, { steps: 8 });
  await page.mouse.up();
  await page.waitForTimeout(1000);
}

async function clickOnImage(page) {
  const at = await place(page);
  await label(page, 'Ball').last().click();
  await page.locator('.lsf-tool_smart').first().hover();
  await page.locator('[aria-label=key-point-tool]').last().evaluate(element => element.click());
  await Promise.all([answered(page), page.mouse.click(...at(160, 180))]);
  await page.locator('[data-testid=bottombar-accept-suggestions-button]').click();
  await page.waitForTimeout(1500);
}

async function boxOnVideo(page) {
  const at = await place(page);
  await drag(page, at(20, 60), at(71, 111));
  await page.mouse.click(...at(45, 85));
  await page.waitForTimeout(800);
  await Promise.all([answered(page), label(page, 'Ball').first().click()]);
  await page.waitForTimeout(1500);
  await page.evaluate(() => window.Htx.annotationStore.selected.names.get('video').setFrame(20));
  await page.waitForTimeout(1500);
}

async function main() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await open(browser);
    await (kind === 'image' ? clickOnImage : boxOnVideo)(page);
    await page.screenshot({ path: picture });
    const regions = await page.evaluate(() => window.Htx.annotationStore.selected.serializeAnnotation());
    console.log(JSON.stringify(regions));
  } finally {
    await browser.close();
  }
}

main().catch(error => { console.error(error); process.exit(1); });
