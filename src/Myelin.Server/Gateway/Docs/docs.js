// Everything comes from this server: no fonts, proxy, assistant, registry or telemetry of Scalar's.
Scalar.createApiReference('#api', {
  url: '/openapi/v1.json',
  documentDownloadType: 'direct',
  slug: 'api',
  generateHeadingSlug: ({ slug }) => `api/${slug === 'problems' ? slug : `problem-${slug}`}`, // where /problems/{name} leads
  modelsSectionLabel: 'Schemas',
  withDefaultFonts: false,
  showDeveloperTools: 'never',
  hideClientButton: true,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
});
