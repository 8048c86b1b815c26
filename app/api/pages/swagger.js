// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no script inside it.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  showCommonExtensions: true,
  // The badge of an outside validator.
  validatorUrl: null,
});
