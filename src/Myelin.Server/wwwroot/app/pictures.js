// The Pictures section: a model, a picture, an answer.

import { bringIntoView, byId, h } from './dom.js';
import { curl } from './curl.js';
import { JobView } from './jobview.js';
import { brokenModels, fillModels } from './modelselect.js';
import { parameterForm } from './parameters.js';

const samples = [
  { file: 'portrait.jpg', text: 'Three friends', model: 'faces' },
  { file: 'sign.jpg', text: 'A sign', model: 'text-reader' },
  { file: 'street.jpg', text: 'A street', model: 'text-reader' },
];

const pictureTasks = new Set(['object-detection', 'instance-segmentation', 'semantic-segmentation', 'image-classification', 'text-recognition', 'image-to-image', 'embedding']);

let models = [];
let model;
let parameters;
let picture; // {file: File, name, url}
let view;

export function start() {
  view = new JobView(byId('picture-stage'), empty());
  byId('picture-model').addEventListener('change', choose);
  byId('picture-form').addEventListener('submit', (e) => { e.preventDefault(); run(); });
  byId('picture-file').addEventListener('change', (e) => { take(e.target.files[0]); e.target.value = ''; });
  byId('samples').append(...samples.map(sampleButton));
  dropping(byId('drop'));
  document.addEventListener('paste', (e) => {
    const file = [...(e.clipboardData?.files ?? [])].find((f) => f.type.startsWith('image/'));
    if (file && !byId('view-pictures').hidden) take(file);
  });
}

/** Hears of the server's models, at the start and after each change of them. */
export function update(all) {
  models = all.filter((m) => pictureTasks.has(m.task) || m.state === 'broken');
  const before = model?.name;
  fillModels(byId('picture-model'), models, 'picture-model');
  byId('broken-models').replaceChildren(brokenModels(models) ?? '');
  if (before === undefined || before !== byId('picture-model').value) choose();
}

function choose() {
  model = models.find((m) => m.name === byId('picture-model').value);
  byId('picture-model-about').textContent = model
    ? [model.description, model.licence && `Licence: ${model.licence}.`].filter(Boolean).join(' ')
    : 'Install one under Models.';
  parameters = parameterForm(byId('picture-parameters'), model?.parameters ?? [], refresh);
  if (model) localStorage.setItem('picture-model', model.name);
  refresh();
}

function refresh() {
  byId('picture-run').disabled = !model || !picture;
  byId('picture-curl').textContent = model
    ? curl({ model: model.name, parameters: parameters.values(), files: [{ name: inputName(), file: picture?.name ?? 'photo.jpg' }] })
    : '';
}

const inputName = () => model.inputs.find((i) => i.kind === 'image')?.name ?? 'image';

function take(file) {
  if (!file) return;
  if (picture) URL.revokeObjectURL(picture.url);
  picture = { file, name: file.name || 'pasted.png', url: URL.createObjectURL(file) };
  byId('drop').classList.add('taken');
  byId('drop-text').querySelector('span').replaceChildren(h('b', {}, picture.name), h('br', {}), 'Drop another to replace it');
  view.preview(picture.url);
  refresh();
  if (byId('picture-auto').checked && model) run();
}

async function run() {
  if (!model || !picture) return;
  const form = new FormData();
  form.append('model', model.name);
  const values = parameters.values();
  if (Object.keys(values).length > 0) form.append('parameters', JSON.stringify(values));
  form.append(inputName(), picture.file, picture.name);
  try {
    parameters.showErrors();
    const answer = view.run(form, picture.url);
    bringIntoView(byId('picture-stage'));
    await answer;
  } catch (error) {
    parameters.showErrors(error.fields);
  }
}

function sampleButton(sample) {
  const image = h('img', { src: `/samples/${sample.file}`, alt: '', loading: 'lazy', width: 96, height: 64 });
  const button = h('button', { type: 'button', class: 'sample', title: sample.text }, image, h('span', {}, sample.text));
  button.addEventListener('click', async () => {
    const response = await fetch(`/samples/${sample.file}`);
    const blob = await response.blob();
    // The sample brings the model that it was made for, where the chosen one would find nothing in it.
    if (models.some((m) => m.name === sample.model && m.state !== 'broken') && model?.name !== sample.model) {
      byId('picture-model').value = sample.model;
      choose();
    }
    take(new File([blob], sample.file, { type: 'image/jpeg' }));
  });
  return button;
}

function dropping(zone) {
  for (const type of ['dragenter', 'dragover']) {
    document.addEventListener(type, (e) => {
      if (!e.dataTransfer?.types.includes('Files')) return;
      e.preventDefault();
      zone.classList.add('over');
    });
  }
  document.addEventListener('dragleave', (e) => { if (!e.relatedTarget) zone.classList.remove('over'); });
  document.addEventListener('drop', (e) => {
    e.preventDefault();
    zone.classList.remove('over');
    if (!byId('view-pictures').hidden) take([...e.dataTransfer.files].find((f) => f.type.startsWith('image/')) ?? e.dataTransfer.files[0]);
  });
}

const empty = () => h('div', { class: 'panel blank' },
  h('p', {}, 'The answer appears here.'),
  h('p', { class: 'hint' }, 'Drop a picture anywhere on this page, or take one of the samples.'));
