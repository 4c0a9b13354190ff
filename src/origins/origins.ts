export { type EndpointSettings, endpointSettings, ownEndpointSettings } from './endpoint-settings.ts'
