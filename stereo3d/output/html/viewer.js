"use strict";
// A viewer of meshes and point clouds in WebGL 2. Frame: x right, y down, z forward, as in the whole of stereo3d.
//
//   const viewer = new Viewer(element, { mesh: [part, ...], cloud, cameras: [camera, ...], unit, luts });
//   part   = { position: Float32Array 3V, face: Uint32Array 3M, uv: Float32Array 2V | null, image | null,
//              colour: Uint8Array 3V | null, confidence, uncertainty: Uint8Array V, 255 = unknown | null,
//              sigma: Float32Array V | null }
//   cloud  = { position: Float32Array 3N, colour: Uint8Array 3N }
//   camera = { name, K: 3x3, size: [w, h], R: 3x3, t: [3], image | null }        X_camera = R X + t

const V3 = {
  add: (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]],
  sub: (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]],
  mul: (a, s) => [a[0] * s, a[1] * s, a[2] * s],
  dot: (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2],
  cross: (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]],
  len: (a) => Math.hypot(a[0], a[1], a[2]),
  unit: (a) => V3.mul(a, 1 / (V3.len(a) || 1)),
};
const M3 = { // rows
  mul: (A, B) => A.map((r) => [0, 1, 2].map((j) => r[0] * B[0][j] + r[1] * B[1][j] + r[2] * B[2][j])),
  at: (A, v) => A.map((r) => V3.dot(r, v)),
  T: (A) => [0, 1, 2].map((i) => [A[0][i], A[1][i], A[2][i]]),
  about: (axis, angle) => { // Rodrigues
    const [x, y, z] = V3.unit(axis), c = Math.cos(angle), s = Math.sin(angle), k = 1 - c;
    return [[c + x * x * k, x * y * k - z * s, x * z * k + y * s], [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
      [z * x * k - y * s, z * y * k + x * s, c + z * z * k]];
  },
  log: (R) => { // rotation vector
    const v = [R[2][1] - R[1][2], R[0][2] - R[2][0], R[1][0] - R[0][1]], s = V3.len(v) / 2;
    const angle = Math.atan2(s, (R[0][0] + R[1][1] + R[2][2] - 1) / 2);
    return s > 1e-9 ? V3.mul(v, angle / (2 * s)) : [0, 0, 0];
  },
  exp: (v) => (V3.len(v) > 1e-12 ? M3.about(v, V3.len(v)) : [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
};
const EYE3 = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

const SURFACE_VERTEX = `#version 300 es
uniform mat4 clip; uniform mat4 view;
layout(location=0) in vec3 position; layout(location=1) in vec3 normal; layout(location=2) in vec2 uv;
layout(location=3) in vec3 colour; layout(location=4) in vec2 level;
out vec3 v_normal; out vec3 v_towards; out vec2 v_uv; out vec3 v_colour; out vec2 v_level;
void main() {
  vec4 p = view * vec4(position, 1.0);
  gl_Position = clip * vec4(position, 1.0);
  v_normal = mat3(view) * normal; v_towards = -p.xyz; v_uv = uv; v_colour = colour; v_level = level;
}`;
const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
uniform int mode; uniform bool textured; uniform sampler2D image; uniform sampler2D lut;
in vec3 v_normal; in vec3 v_towards; in vec2 v_uv; in vec3 v_colour; in vec2 v_level;
out vec4 result;
void main() {
  vec3 n = normalize(v_normal), w = normalize(v_towards);
  bool back = dot(n, w) < 0.0;
  if (back) n = -n;
  float lamp = dot(n, w), key = max(dot(n, normalize(vec3(-0.5, -0.8, -0.45))), 0.0);
  float light = 0.36 + 0.46 * lamp + 0.30 * key;
  vec3 c;
  if (mode == 0) c = textured ? texture(image, v_uv).rgb : v_colour * (0.35 + 0.65 * lamp);
  else if (mode == 1) c = vec3(0.86, 0.83, 0.78) * light;
  else if (mode == 4) c = vec3(0.32, 0.35, 0.40) * (0.45 + 0.55 * light);
  else {
    float level = mode == 2 ? v_level.x : v_level.y;
    c = level > 0.999 ? vec3(0.5) : texture(lut, vec2((level * 255.0 / 254.0 * 255.0 + 0.5) / 256.0, 0.5)).rgb;
    c *= 0.62 + 0.4 * light;
  }
  if (back) c = mix(c, vec3(0.30, 0.25, 0.42), 0.72);
  result = vec4(c, 1.0);
}`;
const LINE_VERTEX = `#version 300 es
uniform mat4 clip; uniform float size;
layout(location=0) in vec3 position; layout(location=3) in vec3 colour;
out vec3 v_colour;
void main() {
  gl_Position = clip * vec4(position, 1.0);
  gl_PointSize = clamp(size / gl_Position.w, 1.5, 24.0); v_colour = colour;
}`;
const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 tint; in vec3 v_colour; out vec4 result;
void main() { result = tint.a < 0.0 ? vec4(v_colour, 1.0) : tint; }`;
const IMAGE_VERTEX = `#version 300 es
uniform mat4 clip;
layout(location=0) in vec3 position; layout(location=2) in vec2 uv;
out vec2 v_uv;
void main() { gl_Position = clip * vec4(position, 1.0); v_uv = uv; }`;
const IMAGE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D image; in vec2 v_uv; out vec4 result;
void main() { result = vec4(texture(image, v_uv).rgb, 0.92); }`;

class Viewer {
  static MODES = ["texture", "shaded", "confidence", "uncertainty", "wireframe"];

  constructor(element, { mesh = [], cloud = null, cameras = [], unit = "", lut = null, onmeasure = () => {} }) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.overlay = element.querySelector("svg");
    this.cameras = cameras;
    this.unit = unit;
    this.onmeasure = onmeasure;
    this.mode = "texture";
    this.showCameras = false;
    this.measuring = false;
    this.points = []; // measured: [{ X, sigma }]
    this.ondraw = null; // called with each picture that is drawn
    this.gl = this.canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: false });
    if (!this.gl) throw new Error("This browser does not support WebGL 2.");
    const gl = this.gl;
    this.programs = {
      surface: this.#program(SURFACE_VERTEX, SURFACE_FRAGMENT),
      line: this.#program(LINE_VERTEX, LINE_FRAGMENT),
      image: this.#program(IMAGE_VERTEX, IMAGE_FRAGMENT),
    };
    this.lut = lut ? this.#lookup(lut) : null;
    this.blank = this.#texture(null);
    this.parts = mesh.map((part) => this.#upload(part));
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    if (cloud) this.setCloud(cloud, false);
    this.#measureScene();
    this.#uploadCameras();
    this.#listen();
    if (cameras.length) this.look(0, false); else this.home(false);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  // ------------------------------------------------------------------------------------------------ what is shown

  setMode(mode) { this.mode = mode; this.draw(); }
  setCameras(on) { this.showCameras = on; this.draw(); }
  setMeasuring(on) {
    this.measuring = on;
    if (!on) this.points = [];
    this.element.classList.toggle("measuring", on);
    this.draw();
  }
  setCloud({ position, colour }, redraw = true) {
    if (this.cloud) this.#free(this.cloud);
    this.cloud = { ...this.#array({ 0: [position, 3], 3: [colour, 3, true] }), position, count: position.length / 3 };
    if (redraw) { this.#measureScene(); this.draw(); }
  }

  // ------------------------------------------------------------------------------------------------ the viewpoint

  // The whole scene, from slightly left and above; without cameras, through an ideal lens.
  home(animate = true) {
    const first = this.cameras[0], { K, size } = first || { K: [[1.2, 0, 0], [0, 1.2, 0], [0, 0, 1]], size: [1, 1] };
    const R = M3.mul(M3.about([1, 0, 0], 0.16), M3.mul(first ? first.R : EYE3, M3.about([0, 1, 0], -0.3)));
    const { shift, distance } = this.#framed(R, K, this.#fit({ size }));
    const target = V3.sub(this.centre, M3.at(M3.T(R), [...shift, 0]));
    this.#go({ R, target, distance, K, size, centred: true }, animate);
  }

  // How far a camera turned by R has to be from the centre, and where the centre comes to lie, for all to fill its picture:
  // |X + shift| <= slope (Z + distance) but for the outermost hundredth of the points on each side.
  #framed(R, K, scale) {
    const { clientWidth: w, clientHeight: h } = this.canvas, [xs, ys, zs] = this.sample;
    const slopes = [w, h].map((side, k) => 0.5 * (side || 1) / (scale * K[k][k])), shift = [];
    let distance = 0.05 * this.radius;
    const local = xs.map((x, k) => M3.at(R, V3.sub([x, ys[k], zs[k]], this.centre)));
    slopes.forEach((slope, axis) => {
      const [above, below] = [1, -1].map((sign) => {
        const edge = local.map((X) => sign * X[axis] - slope * X[2]).sort((p, q) => p - q);
        return edge[Math.floor(0.99 * (edge.length - 1))] || 0;
      });
      shift.push((below - above) / 2);
      distance = Math.max(distance, 1.12 * (above + below) / (2 * slope));
    });
    return { shift, distance };
  }

  // From the place of a photo, through its lens (but for its distortion).
  look(index, animate = true) {
    const { K, R, t, size } = this.cameras[index];
    const eye = V3.mul(M3.at(M3.T(R), t), -1);
    const distance = Math.max(V3.dot(R[2], V3.sub(this.centre, eye)), 1e-3 * this.radius);
    this.#go({ R, target: V3.add(eye, V3.mul(R[2], distance)), distance, K, size, centred: false }, animate);
  }

  get eye() { return V3.sub(this.pose.target, V3.mul(this.pose.R[2], this.pose.distance)); }

  turn(dx, dy) { // radians; about the vertical through the target, and about the horizontal of the screen
    const { R } = this.pose;
    let next = M3.mul(R, M3.about([0, 1, 0], dx));
    const forward = next[2][1], tilt = Math.asin(Math.max(-1, Math.min(1, forward))); // > 0: looks down
    const most = 1.5, want = Math.max(-most, Math.min(most, tilt + dy));
    next = M3.mul(M3.about([1, 0, 0], want - tilt), next);
    this.pose.R = next;
    this.draw();
  }
  shift(dx, dy) { // CSS pixels
    const scale = this.pose.distance / (this.#fit() * this.pose.K[0][0]);
    const { R } = this.pose;
    this.pose.target = V3.add(this.pose.target, V3.add(V3.mul(R[0], -dx * scale), V3.mul(R[1], -dy * scale)));
    this.draw();
  }
  zoom(factor) {
    const least = 2e-3 * this.radius, most = 40 * this.radius + V3.len(this.centre);
    this.pose.distance = Math.max(least, Math.min(most, this.pose.distance * factor));
    this.draw();
  }

  // A slow swing from side to side that shows the depth, until someone takes over.
  swing() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const start = performance.now(), base = { ...this.pose };
    const target = V3.add(this.eye, V3.mul(base.R[2], base.distance));
    this.moving = (now) => {
      const s = (now - start) / 1000, rise = Math.min(1, s / 2);
      const yaw = 0.20 * rise * Math.sin(s * 0.7), pitch = 0.05 * rise * (1 - Math.cos(s * 0.7));
      this.pose = { ...base, target, distance: base.distance * (1 + 0.12 * rise),
        R: M3.mul(M3.about([1, 0, 0], pitch), M3.mul(base.R, M3.about([0, 1, 0], yaw))) };
      this.draw();
      return s < 60;
    };
    this.#animate();
  }
  still() { this.moving = null; }

  // Look as another viewer does: from the same place where both show the same space, else from the same side.
  follow(other) {
    const apart = V3.len(V3.sub(this.centre, other.centre)), ratio = this.radius / other.radius, pose = other.pose;
    const same = apart < this.radius + other.radius && ratio > 0.2 && ratio < 5;
    this.still();
    this.pose = same ? { ...pose } : { ...pose, distance: pose.distance * ratio,
      target: V3.add(this.centre, V3.mul(V3.sub(pose.target, other.centre), ratio)) };
    this.draw();
  }

  // ------------------------------------------------------------------------------------------------ drawing

  draw() {
    if (this.drawn) return;
    this.drawn = requestAnimationFrame(() => { this.drawn = 0; this.render(); });
  }

  render() {
    const gl = this.gl, canvas = this.canvas, ratio = Math.min(devicePixelRatio || 1, 2);
    const w = Math.max(1, Math.round(canvas.clientWidth * ratio)), h = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    gl.viewport(0, 0, w, h);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const { view, clip } = this.matrices();
    if (this.parts.length) {
      const p = this.programs.surface;
      gl.useProgram(p);
      gl.uniformMatrix4fv(p.u("clip"), false, clip);
      gl.uniformMatrix4fv(p.u("view"), false, view);
      gl.uniform1i(p.u("mode"), Viewer.MODES.indexOf(this.mode));
      gl.uniform1i(p.u("image"), 0);
      gl.uniform1i(p.u("lut"), 1);
      gl.activeTexture(gl.TEXTURE1);
      gl.bindTexture(gl.TEXTURE_2D, this.lut || this.blank);
      gl.enable(gl.POLYGON_OFFSET_FILL);
      gl.polygonOffset(1, 1);
      for (const part of this.parts) {
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, part.texture || this.blank);
        gl.uniform1i(p.u("textured"), part.texture ? 1 : 0);
        gl.bindVertexArray(part.vao);
        gl.drawElements(gl.TRIANGLES, part.face.length, gl.UNSIGNED_INT, 0);
      }
      gl.disable(gl.POLYGON_OFFSET_FILL);
      if (this.mode === "wireframe") {
        gl.enable(gl.BLEND); // many edges in a pixel add up: where they are dense, each is fainter
        gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
        for (const part of this.parts) {
          const edges = this.#edges(part);
          this.#drawLines(clip, edges, [0.62, 0.85, 1.0, this.#edgeOpacity(edges)]);
        }
        gl.disable(gl.BLEND);
      }
    }
    if (this.cloud) this.#drawCloud(clip);
    if (this.showCameras) this.#drawCameras(clip);
    gl.bindVertexArray(null);
    this.#drawMeasure();
    if (this.ondraw) this.ondraw();
  }

  // The 4 x 4 matrices, column by column: world -> camera, and world -> clip coordinates.
  matrices() {
    const { R, K, size, centred } = this.pose, eye = this.eye;
    const w = this.canvas.clientWidth || 1, h = this.canvas.clientHeight || 1, s = this.#fit();
    const t = V3.mul(M3.at(R, eye), -1);
    const reach = V3.len(V3.sub(this.centre, eye)) + 3 * this.radius + (this.showCameras ? this.spread : 0);
    const far = reach, near = Math.max(far / 20000, Math.min(0.05 * this.pose.distance, 0.02 * this.radius));
    const cx = centred ? 0 : K[0][2] - (size[0] - 1) / 2, cy = centred ? 0 : K[1][2] - (size[1] - 1) / 2;
    const P = [[2 * s * K[0][0] / w, 2 * s * K[0][1] / w, 2 * s * cx / w, 0], [0, -2 * s * K[1][1] / h, -2 * s * cy / h, 0],
      [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)], [0, 0, 1, 0]];
    const E = [...R.map((row, i) => [...row, t[i]]), [0, 0, 0, 1]];
    const flat = (A) => new Float32Array([0, 1, 2, 3].flatMap((j) => [0, 1, 2, 3].map((i) => A[i][j])));
    const product = P.map((row) => [0, 1, 2, 3].map((j) => row.reduce((sum, p, k) => sum + p * E[k][j], 0)));
    return { view: flat(E), clip: flat(product) };
  }

  // CSS pixels of a point, or null behind the camera.
  project(X) {
    const { clip: m } = this.matrices(), row = (i) => m[i] * X[0] + m[i + 4] * X[1] + m[i + 8] * X[2] + m[i + 12];
    const w = row(3);
    if (w <= 0) return null;
    return [(row(0) / w + 1) / 2 * this.canvas.clientWidth, (1 - row(1) / w) / 2 * this.canvas.clientHeight];
  }

  // ------------------------------------------------------------------------------------------------ picking

  // Where the ray through a CSS pixel meets the surface (or passes a point of the cloud): { X, sigma, part } or null.
  pick(x, y) {
    const { R, K, size, centred } = this.pose, s = this.#fit();
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    const cx = centred ? 0 : K[0][2] - (size[0] - 1) / 2, cy = centred ? 0 : K[1][2] - (size[1] - 1) / 2;
    const v = ((y - h / 2) / s - cy) / K[1][1], u = ((x - w / 2) / s - cx - K[0][1] * v) / K[0][0];
    const d = V3.unit(M3.at(M3.T(R), [u, v, 1])), o = this.eye;
    let best = null, least = Infinity;
    for (const part of this.parts) { // Moeller and Trumbore 1997, over all faces: some milliseconds
      const P = part.position, F = part.face;
      for (let k = 0; k < F.length; k += 3) {
        const a = 3 * F[k], b = 3 * F[k + 1], c = 3 * F[k + 2];
        const e1x = P[b] - P[a], e1y = P[b + 1] - P[a + 1], e1z = P[b + 2] - P[a + 2];
        const e2x = P[c] - P[a], e2y = P[c + 1] - P[a + 1], e2z = P[c + 2] - P[a + 2];
        const px = d[1] * e2z - d[2] * e2y, py = d[2] * e2x - d[0] * e2z, pz = d[0] * e2y - d[1] * e2x;
        const det = e1x * px + e1y * py + e1z * pz;
        if (det === 0) continue;
        const tx = o[0] - P[a], ty = o[1] - P[a + 1], tz = o[2] - P[a + 2];
        const beta = (tx * px + ty * py + tz * pz) / det;
        if (beta < 0 || beta > 1) continue;
        const qx = ty * e1z - tz * e1y, qy = tz * e1x - tx * e1z, qz = tx * e1y - ty * e1x;
        const gamma = (d[0] * qx + d[1] * qy + d[2] * qz) / det;
        if (gamma < 0 || beta + gamma > 1) continue;
        const t = (e2x * qx + e2y * qy + e2z * qz) / det;
        if (t > 0 && t < least) {
          least = t;
          const g = part.sigma, weights = [1 - beta - gamma, beta, gamma];
          const sigma = g ? weights.reduce((sum, weight, i) => sum + weight * g[F[k + i]], 0) : null;
          best = { X: V3.add(o, V3.mul(d, t)), sigma, part };
        }
      }
    }
    if (this.cloud) {
      const P = this.cloud.position, cone = 4 / (s * K[0][0]);
      for (let k = 0; k < P.length; k += 3) {
        const q = [P[k] - o[0], P[k + 1] - o[1], P[k + 2] - o[2]], t = V3.dot(q, d);
        if (t > 0 && t < least && V3.dot(q, q) - t * t < (cone * t) ** 2) {
          least = t;
          best = { X: V3.add(o, q), sigma: null, part: null };
        }
      }
    }
    return best;
  }

  // Distance of the two measured points and its standard deviation: sigma lies along the rays of camera 1 (the origin).
  distance() {
    if (this.points.length < 2) return null;
    const [a, b] = this.points, difference = V3.sub(b.X, a.X), length = V3.len(difference), u = V3.unit(difference);
    const along = (p) => (p.sigma === null || !isFinite(p.sigma) ? NaN : p.sigma * V3.dot(u, V3.unit(p.X)));
    const deviation = Math.hypot(along(a), along(b));
    return { length, deviation: isFinite(deviation) ? deviation : null };
  }

  click(x, y) {
    const hit = this.pick(x, y);
    if (!this.measuring || !hit) return hit;
    if (this.points.length >= 2) this.points = [];
    this.points.push(hit);
    this.onmeasure(this.distance());
    this.draw();
    return hit;
  }

  // ------------------------------------------------------------------------------------------------ inside

  #fit({ size } = this.pose) { // CSS pixels per pixel of the camera of this view
    return Math.min((this.canvas.clientWidth || 1) / size[0], (this.canvas.clientHeight || 1) / size[1]);
  }

  #go(pose, animate) {
    this.still();
    if (!animate || !this.pose || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.pose = pose;
      return this.draw();
    }
    const from = { ...this.pose }, turn = M3.log(M3.mul(pose.R, M3.T(from.R))), start = performance.now();
    const mix = (a, b, s) => (Array.isArray(a) ? a.map((x, i) => mix(x, b[i], s)) : a + (b - a) * s);
    const same = from.centred === pose.centred;
    this.moving = (now) => {
      const u = Math.min(1, (now - start) / 450), s = u * u * (3 - 2 * u);
      this.pose = u === 1 ? pose : {
        R: M3.mul(M3.exp(V3.mul(turn, s)), from.R), target: mix(from.target, pose.target, s),
        distance: Math.exp(mix(Math.log(from.distance), Math.log(pose.distance), s)), centred: pose.centred,
        K: same ? mix(from.K, pose.K, s) : pose.K, size: same ? mix(from.size, pose.size, s) : pose.size,
      };
      this.draw();
      return u < 1;
    };
    this.#animate();
  }

  #animate() {
    const step = this.moving, tick = (now) => {
      if (this.moving !== step) return;
      if (step(now)) requestAnimationFrame(tick); else this.moving = null;
    };
    requestAnimationFrame(tick);
  }

  #measureScene() { // the middle of the points but outliers, and the radius of 90 % of them
    const sets = this.parts.length ? this.parts : this.cloud ? [this.cloud] : [], axes = [[], [], []];
    for (const { position } of sets) {
      const step = 3 * Math.max(1, Math.floor(position.length / 3 / 20000));
      for (let k = 0; k < position.length; k += step) for (let i = 0; i < 3; i++) axes[i].push(position[k + i]);
    }
    const centre = axes.map((a) => {
      const sorted = [...a].sort((p, q) => p - q), at = (share) => sorted[Math.floor(share * (a.length - 1))];
      return a.length ? (at(0.03) + at(0.97)) / 2 : 0;
    });
    const reach = axes[0].map((x, k) => Math.hypot(x - centre[0], axes[1][k] - centre[1], axes[2][k] - centre[2]));
    reach.sort((p, q) => p - q);
    this.centre = centre;
    this.sample = axes;
    this.radius = reach.length ? Math.max(reach[Math.floor(0.9 * (reach.length - 1))], 1e-9) : 1;
    this.spread = V3.len(centre) + 10 * Math.max(0, ...this.cameras.map((c) => V3.len(c.t)));
  }

  #program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const places = {};
    program.u = (name) => (name in places ? places[name] : (places[name] = gl.getUniformLocation(program, name)));
    return program;
  }

  // attributes: { location: [typed array, components, normalised] }
  #array(attributes, index = null) {
    const gl = this.gl, vao = gl.createVertexArray(), buffers = [];
    gl.bindVertexArray(vao);
    for (const [location, [data, components, normalised]] of Object.entries(attributes)) {
      const buffer = gl.createBuffer();
      buffers.push(buffer);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(+location);
      const kind = data instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE;
      gl.vertexAttribPointer(+location, components, kind, !!normalised, 0, 0);
    }
    if (index) {
      const buffer = gl.createBuffer();
      buffers.push(buffer);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, index, gl.STATIC_DRAW);
    }
    gl.bindVertexArray(null);
    return { vao, buffers };
  }

  #free({ vao, buffers }) {
    this.gl.deleteVertexArray(vao);
    buffers.forEach((b) => this.gl.deleteBuffer(b));
  }

  #upload(part) {
    const { position, face, uv, colour, confidence, uncertainty, image } = part, count = position.length / 3;
    const level = new Uint8Array(2 * count).fill(255), grey = new Uint8Array(3 * count).fill(200);
    for (let i = 0; i < count; i++) {
      if (confidence) level[2 * i] = confidence[i];
      if (uncertainty) level[2 * i + 1] = uncertainty[i];
    }
    const attributes = { 0: [position, 3], 1: [this.#normals(position, face), 3], 3: [colour || grey, 3, true],
      4: [level, 2, true] };
    if (uv) attributes[2] = [uv, 2];
    return { ...part, ...this.#array(attributes, face), texture: image && uv ? this.#texture(image) : null };
  }

  #normals(P, F) {
    const n = new Float32Array(P.length);
    for (let k = 0; k < F.length; k += 3) {
      const a = 3 * F[k], b = 3 * F[k + 1], c = 3 * F[k + 2];
      const ux = P[b] - P[a], uy = P[b + 1] - P[a + 1], uz = P[b + 2] - P[a + 2];
      const vx = P[c] - P[a], vy = P[c + 1] - P[a + 1], vz = P[c + 2] - P[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (const i of [a, b, c]) { n[i] += x; n[i + 1] += y; n[i + 2] += z; }
    }
    return n;
  }

  #texture(image) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    if (!image) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([200, 200, 200, 255]));
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      return texture;
    }
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, true); // uv starts at the bottom left
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    const fine = gl.getExtension("EXT_texture_filter_anisotropic");
    if (fine) gl.texParameterf(gl.TEXTURE_2D, fine.TEXTURE_MAX_ANISOTROPY_EXT, 8);
    return texture;
  }

  #lookup(rgb) { // 256 colours, 3 bytes each
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, rgb);
    for (const [name, value] of [["MIN_FILTER", "LINEAR"], ["MAG_FILTER", "LINEAR"], ["WRAP_S", "CLAMP_TO_EDGE"],
      ["WRAP_T", "CLAMP_TO_EDGE"]]) gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], gl[value]);
    return texture;
  }

  #edges(part) { // made when first asked for
    if (!part.edges) {
      const { face: F, position } = part, seen = new Set(), list = [], count = position.length / 3;
      for (let k = 0; k < F.length; k += 3) {
        for (const [i, j] of [[F[k], F[k + 1]], [F[k + 1], F[k + 2]], [F[k + 2], F[k]]]) {
          const key = i < j ? i * count + j : j * count + i;
          if (!seen.has(key)) { seen.add(key); list.push(i, j); }
        }
      }
      const lengths = [];
      for (let k = 0; k < list.length; k += 2 * Math.max(1, Math.floor(list.length / 4000))) {
        const [a, b] = [3 * list[k], 3 * list[k + 1]];
        lengths.push(Math.hypot(position[a] - position[b], position[a + 1] - position[b + 1], position[a + 2] - position[b + 2]));
      }
      const length = lengths.sort((a, b) => a - b)[lengths.length >> 1] || 0;
      part.edges = { ...this.#array({ 0: [position, 3] }, new Uint32Array(list)), count: list.length, length };
    }
    return part.edges;
  }

  // 1 where edges are 12 px long or longer; shorter ones share as much ink, so that the surface stays visible.
  #edgeOpacity({ length }) {
    const px = length * this.#fit() * this.pose.K[0][0] / Math.max(this.pose.distance, 1e-9);
    return Math.max(0.06, Math.min(1, px / 12));
  }

  #drawLines(clip, { vao, count }, tint) {
    const gl = this.gl, p = this.programs.line;
    gl.useProgram(p);
    gl.uniformMatrix4fv(p.u("clip"), false, clip);
    gl.uniform4fv(p.u("tint"), tint);
    gl.bindVertexArray(vao);
    gl.drawElements(gl.LINES, count, gl.UNSIGNED_INT, 0);
  }

  #drawCloud(clip) {
    const gl = this.gl, p = this.programs.line, f = this.#fit() * this.pose.K[0][0] * Math.min(devicePixelRatio || 1, 2);
    gl.useProgram(p);
    gl.uniformMatrix4fv(p.u("clip"), false, clip);
    gl.uniform4fv(p.u("tint"), [0, 0, 0, -1]);
    const spacing = 1.9 * this.radius / Math.sqrt(Math.max(this.cloud.count, 1)); // of a sheet of this many points
    gl.uniform1f(p.u("size"), 1.5 * spacing * f);
    gl.bindVertexArray(this.cloud.vao);
    gl.drawArrays(gl.POINTS, 0, this.cloud.count);
  }

  #uploadCameras() {
    this.frustums = this.cameras.map(({ K, R, t, size, image }, index) => {
      const centre = V3.mul(M3.at(M3.T(R), t), -1);
      const others = this.cameras.filter((_, k) => k !== index).map((c) => V3.len(V3.sub(c.t, t)));
      const z = V3.dot(R[2], V3.sub(this.centre, centre)) || 1;
      const depth = Math.min(Math.max(0.7 * Math.max(0, ...others), 0.04 * z), 0.2 * z);
      const corner = (x, y) => {
        const v = (y - K[1][2]) / K[1][1], u = (x - K[0][2] - K[0][1] * v) / K[0][0];
        return V3.add(centre, M3.at(M3.T(R), [u * depth, v * depth, depth]));
      };
      const [w, h] = size, c = [corner(-.5, -.5), corner(w - .5, -.5), corner(w - .5, h - .5), corner(-.5, h - .5)];
      const corners = new Float32Array([centre, ...c].flat()), uv = new Float32Array([0, 0, 0, 1, 1, 1, 1, 0, 0, 0]);
      const lines = new Uint32Array([0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1]);
      return {
        lines: { ...this.#array({ 0: [corners, 3] }, lines), count: lines.length },
        picture: this.#array({ 0: [corners, 3], 2: [uv, 2] }, new Uint32Array([1, 2, 3, 1, 3, 4])),
        texture: image ? this.#texture(image) : null, centre,
      };
    });
    if (this.frustums.length > 1) {
      const ends = new Float32Array(this.frustums.flatMap((f) => f.centre));
      this.base = { ...this.#array({ 0: [ends, 3] }, new Uint32Array([0, 1])), count: 2 };
    }
  }

  #drawCameras(clip) {
    const gl = this.gl, p = this.programs.image, tints = [[0.16, 0.55, 1, 1], [1, 0.45, 0.2, 1]];
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.frustums.forEach(({ lines, picture, texture, centre }, k) => {
      if (V3.len(V3.sub(centre, this.eye)) < 0.05 * this.pose.distance) return; // the camera of this view
      if (texture) {
        gl.useProgram(p);
        gl.uniformMatrix4fv(p.u("clip"), false, clip);
        gl.uniform1i(p.u("image"), 0);
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.bindVertexArray(picture.vao);
        gl.drawElements(gl.TRIANGLES, 6, gl.UNSIGNED_INT, 0);
      }
      this.#drawLines(clip, lines, tints[k % 2]);
    });
    if (this.base) this.#drawLines(clip, this.base, [0.5, 0.5, 0.5, 1]);
    gl.disable(gl.BLEND);
  }

  #drawMeasure() {
    const svg = this.overlay;
    if (!svg) return;
    const places = this.points.map((p) => this.project(p.X)), found = this.distance();
    const parts = [], draw = (tag, attributes, text = "") => {
      const element = document.createElementNS(svg.namespaceURI, tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      element.textContent = text;
      parts.push(element);
    };
    if (places.length === 2 && places[0] && places[1]) {
      const [[x1, y1], [x2, y2]] = places;
      draw("line", { class: "halo", x1, y1, x2, y2 });
      draw("line", { x1, y1, x2, y2 });
      draw("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 10 }, Viewer.words(found, this.unit));
    }
    for (const p of places) if (p) draw("circle", { cx: p[0], cy: p[1], r: 5 });
    svg.replaceChildren(...parts);
  }

  static words(found, unit) {
    if (!found) return "";
    const digits = (x) => (x === 0 ? "0" : x.toPrecision(Math.max(1, Math.min(4, Math.ceil(Math.log10(Math.abs(x))) + 3))));
    const number = (x) => String(+digits(x));
    const name = unit === "baseline" ? "baselines" : unit;
    return `${number(found.length)}${found.deviation ? ` \u00b1 ${+found.deviation.toPrecision(2)}` : ""} ${name}`;
  }

  #listen() {
    const canvas = this.canvas, held = new Map();
    let moved = 0, pinch = null, before = null;
    const place = (e) => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    const middle = () => {
      const p = [...held.values()];
      return p.length < 2 ? null
        : { x: (p[0][0] + p[1][0]) / 2, y: (p[0][1] + p[1][1]) / 2, d: Math.hypot(p[0][0] - p[1][0], p[0][1] - p[1][1]) };
    };
    canvas.addEventListener("pointerdown", (e) => {
      this.still();
      if (e.pointerType !== "touch") canvas.focus({ preventScroll: true });
      try { canvas.setPointerCapture(e.pointerId); } catch { /* a pointer that is gone already */ }
      if (held.size === 0) { moved = 0; before = { ...this.pose }; }
      held.set(e.pointerId, place(e));
      pinch = middle();
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!held.has(e.pointerId)) return;
      const [x, y] = place(e), [x0, y0] = held.get(e.pointerId);
      held.set(e.pointerId, [x, y]);
      moved += Math.hypot(x - x0, y - y0);
      if (held.size === 1) {
        if (e.buttons & 6 || e.shiftKey || e.ctrlKey) this.shift(x - x0, y - y0);
        else this.turn(-(x - x0) * 0.006, -(y - y0) * 0.006);
      } else if (held.size === 2 && pinch) {
        const now = middle();
        this.shift(now.x - pinch.x, now.y - pinch.y);
        this.zoom(pinch.d / Math.max(now.d, 1));
        pinch = now;
      }
    });
    const up = (e) => {
      if (!held.has(e.pointerId)) return;
      const [x, y] = held.get(e.pointerId), alone = held.size === 1;
      held.delete(e.pointerId);
      pinch = middle();
      if (e.type === "pointercancel" && alone) { this.pose = before; this.draw(); } // the swipe scrolls the page
      if (e.type !== "pointerup" || !alone || moved >= 6 || e.button !== 0) return;
      if (e.pointerType === "touch" && !this.measuring) this.element.classList.toggle("held");
      this.click(x, y);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("dblclick", (e) => {
      const hit = this.measuring ? null : this.pick(...place(e));
      if (!hit) return;
      const distance = 0.6 * V3.len(V3.sub(hit.X, this.eye));
      this.#go({ ...this.pose, target: hit.X, distance }, true);
    });
    canvas.addEventListener("wheel", (e) => { // only where the reader has taken hold of it: the page must scroll
      if (document.activeElement !== canvas && !e.ctrlKey) return;
      e.preventDefault();
      this.still();
      this.zoom(Math.exp(Math.max(-1, Math.min(1, e.deltaY * (e.deltaMode ? 0.05 : 0.0015)))));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      const step = 0.08, act = {
        ArrowLeft: () => this.turn(step, 0), ArrowRight: () => this.turn(-step, 0), ArrowUp: () => this.turn(0, step),
        ArrowDown: () => this.turn(0, -step), "+": () => this.zoom(0.88), "=": () => this.zoom(0.88),
        "-": () => this.zoom(1.14), Home: () => this.home(), Escape: () => { this.points = []; this.draw(); },
      }[e.key];
      if (!act || e.altKey || e.metaKey || e.ctrlKey) return;
      e.preventDefault();
      this.still();
      act();
    });
    canvas.addEventListener("webglcontextlost", (e) => e.preventDefault());
  }
}
