// Builds the page. Everything that comes from a person, a model or a server goes in as text, never as markup.

/** An element: h('p', {class: 'hint', onclick: f}, 'text', otherElement). */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = value;
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element. */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Says something to a screen reader without moving anything. */
export function announce(text) {
  byId('announcer').textContent = text;
}

/** On a narrow screen the answer lies below the form. */
export function bringIntoView(element) {
  if (matchMedia('(max-width: 860px)').matches) element.scrollIntoView({ block: 'start' });
}

/** What went wrong, with the cure, and the wrong fields where the server named them. */
export function errorBox(error) {
  const fields = Object.entries(error.fields ?? {}).filter(([, text]) => !error.message.includes(text));
  return h('div', { class: 'notice bad', role: 'alert' },
    h('p', {}, h('b', {}, error.title ?? 'That did not work'), ' ', error.message),
    fields.length > 0 && h('ul', {}, fields.map(([name, text]) => h('li', {}, h('code', {}, name), ' ', text))));
}

/** Copies what an element says; the button answers. */
export function copyButton(getText, label = 'Copy') {
  const button = h('button', { type: 'button', class: 'copy' }, label);
  button.addEventListener('click', () => copyFrom(button, getText()));
  return button;
}

export async function copyFrom(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'Select and copy by hand';
  }
  setTimeout(() => { button.textContent = before; }, 1600);
}
