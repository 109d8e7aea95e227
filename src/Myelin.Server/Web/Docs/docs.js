// Shows /openapi/v1.json. No library: the document is ours, so only what it uses needs to be shown. All text goes in as
// text nodes, never as markup.
const main = document.getElementById('main');
const index = document.getElementById('index');
const template = document.getElementById('call');

const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

// `code` in our descriptions, nothing else of Markdown.
const prose = (text) => (text ?? '').split('\n\n').filter(Boolean).map((paragraph) =>
  element('p', '', ...paragraph.split('`').map((part, i) => (i % 2 ? element('code', part) : part))));

const name = (schema) => schema?.$ref?.split('/').at(-1);

const describe = (schema, api, depth = 0) => {
  if (!schema) return 'any';
  const named = name(schema);
  if (named) return depth > 2 ? named : describe(api.components.schemas[named], api, depth + 1);
  if (schema.enum) return schema.enum.join(' | ');
  const options = schema.oneOf ?? schema.anyOf;
  if (options) return describe(options.find((option) => option.type !== 'null'), api, depth);
  const type = [schema.type].flat().filter((t) => t !== 'null').join(' | ');
  if (type === 'array') return [describe(schema.items, api, depth + 1)];
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, describe(value, api, depth + 1)]));
  }
  return type || 'any';
};

const shape = (schema, api) => {
  const details = element('details');
  details.append(element('summary', name(schema) ?? 'shape'), element('pre', JSON.stringify(describe(schema, api), null, 2)));
  return details;
};

const row = (...cells) => element('tr', '', ...cells.map((cell) => (cell instanceof Node ? element('td', '', cell) : element('td', cell))));

const show = (path, method, operation, api) => {
  const call = template.content.cloneNode(true).firstElementChild;
  call.id = operation.operationId ?? `${method}-${path}`;
  call.querySelector('.method').textContent = method.toUpperCase();
  call.querySelector('.path').textContent = path;
  call.querySelector('.summary').textContent = operation.summary ?? '';
  call.querySelector('.description').append(...prose(operation.description));
  const parameters = operation.parameters ?? [];
  for (const p of parameters) call.querySelector('.parameters tbody').append(row(p.name, p.in, p.description ?? ''));
  call.querySelector('.parameters').hidden = parameters.length === 0;
  for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
    call.querySelector('.body').append(element('p', '', 'Body: ', element('code', type)), shape(content.schema, api));
  }
  for (const [status, response] of Object.entries(operation.responses ?? {})) {
    const [type, content] = Object.entries(response.content ?? {})[0] ?? [];
    const cell = element('div', '', ...(type ? [element('code', type), shape(content.schema, api)] : []));
    call.querySelector('.responses tbody').append(row(`${status} ${response.description ?? ''}`, cell));
  }
  attempt(call.querySelector('.try'), path, method, parameters);
  return call;
};

// Only reading calls: the page must not change anything by a slip of the hand.
const attempt = (form, path, method, parameters) => {
  if (method !== 'get' || path.endsWith('/events')) return form.remove();
  const inputs = parameters.filter((p) => p.in !== 'header').map((p) => {
    const input = element('input');
    input.placeholder = p.name;
    input.required = p.in === 'path';
    form.prepend(input);
    return [p, input];
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    let address = path;
    for (const [p, input] of inputs) {
      if (p.in === 'path') address = address.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(p.name, input.value);
    }
    const answer = form.querySelector('.answer');
    answer.hidden = false;
    const response = await fetch(query.size ? `${address}?${query}` : address);
    const type = response.headers.get('content-type') ?? '';
    const text = /json|text/.test(type) ? await response.text() : `${type}, ${(await response.blob()).size} bytes`;
    answer.textContent = `${response.status}\n${type.includes('json') ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
  });
};

const render = (api) => {
  main.replaceChildren(...prose(api.info.description));
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'Other';
      groups.set(tag, [...(groups.get(tag) ?? []), show(path, method, operation, api)]);
    }
  }
  for (const [tag, calls] of groups) {
    main.append(element('h2', tag), ...calls);
    index.append(element('h4', tag), ...calls.map((call) => {
      const link = element('a', `${call.querySelector('.method').textContent} ${call.querySelector('.path').textContent}`);
      link.href = `#${call.id}`;
      return link;
    }));
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
};

document.getElementById('filter').addEventListener('input', (event) => {
  const text = event.target.value.toLowerCase();
  for (const call of document.querySelectorAll('.call')) call.hidden = !call.textContent.toLowerCase().includes(text);
  for (const link of index.querySelectorAll('a')) link.hidden = document.getElementById(link.hash.slice(1))?.hidden ?? false;
});

try {
  render(await (await fetch('/openapi/v1.json')).json());
} catch (error) {
  main.replaceChildren(element('p', `The description of the API could not be read: ${error.message}`));
}
