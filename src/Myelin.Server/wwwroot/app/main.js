// Starts the page: sections by the address's hash, models loaded once and after each change.

import * as api from './api.js';
import { byId, copyFrom } from './dom.js';
import * as generate from './generate.js';
import * as jobs from './jobs.js';
import * as modelsView from './models.js';
import * as pictures from './pictures.js';

const sections = ['pictures', 'generate', 'models', 'jobs', 'job'];

pictures.start();
generate.start();
jobs.start();
modelsView.start(loadModels);

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', () => copyFrom(button, byId(button.dataset.copy).textContent));
}

window.addEventListener('hashchange', route);
route();
loadModels();

async function loadModels() {
  const status = byId('status');
  try {
    const models = await api.models();
    pictures.update(models);
    generate.update(models);
    modelsView.update(models);
    const usable = models.filter((m) => m.state !== 'broken').length;
    status.textContent = `${usable} ${usable === 1 ? 'model' : 'models'}`;
    status.dataset.state = 'ready';
  } catch (error) {
    status.textContent = error.message;
    status.dataset.state = 'broken';
    // A server that is starting or restarting comes back by itself.
    setTimeout(loadModels, 3000);
  }
}

function route() {
  const [name, id] = location.hash.slice(1).split('/');
  const section = sections.includes(name) ? name : 'pictures';
  for (const other of sections) byId(`view-${other}`).hidden = other !== section;
  for (const link of document.querySelectorAll('nav a')) {
    const current = link.hash === `#${section}` || (section === 'job' && link.hash === '#jobs');
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = section === 'pictures' ? 'Myelin' : `${section[0].toUpperCase()}${section.slice(1)} · Myelin`;
  if (section === 'models') modelsView.showCatalogue();
  if (section === 'jobs') jobs.showList();
  if (section === 'job') jobs.showOne(decodeURIComponent(id ?? ''));
}
