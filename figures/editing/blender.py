"""A generated clip, exported and opened in Blender: are the bones where our joints are, and how do they look?

    python -c "from mmm import MMM
    motion = MMM.from_pretrained('data/pretrained/bandai-small').generate('a person walks forward', length=120, seed=0)
    motion.save('walk.bvh'), motion.save('walk.npy')"
    blender --background --python figures/editing/blender.py -- walk.bvh walk.npy figures/editing/blender.png

walk.npy holds world joints (T, 22, 3) in metres, y up, of HumanML3D's skeleton. Prints the distances between
the heads of the bones and the joints in cm, over all frames, and renders six poses of the armature with Cycles
on one core. Those of a generated clip are as far as its joints are from a rigid body; with
`np.save('rigid.npy', mmm.motion.rigid.fit_rigid(motion.joints).joints)` instead of walk.npy, or with a file that
`mmm.bvh.writing.write_bvh(…, stretch=True)` wrote, they are what Blender makes of the file.
Written for Blender 3.4, whose Python needs NumPy (Debian: python3-numpy).
"""

import sys

import bpy
import numpy as np
from mathutils import Vector

NAMES = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot "
    "right_foot neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist"
).split()
POSES = 6


def import_bvh(path):
    """The armature, in metres and with z up, as Blender has it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    from io_anim_bvh import import_bvh as importer

    # Debian's Blender 3.4 runs on Python 3.11, which no longer knows the mode "rU" that its importer opens with
    importer.open = lambda name, mode="r": open(name, mode.replace("U", ""))
    bpy.ops.import_anim.bvh(
        filepath=path, axis_forward="-Z", axis_up="Y", global_scale=0.01, update_scene_fps=True
    )
    return bpy.context.object


def places(armature, frame):
    """World places of the heads of the bones by name in frame 0, 1, …, and of the tails of those without child."""
    bpy.context.scene.frame_set(frame + 1)
    bones = [armature.pose.bones[name] for name in NAMES]
    heads = {bone.name: armature.matrix_world @ bone.head for bone in bones}
    return heads, {bone.name: armature.matrix_world @ bone.tail for bone in bones if not bone.children}


def stick(start, end, radius, material):
    """A cylinder with a ball at its start."""
    start, end = Vector(start), Vector(end)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=1.5 * radius, location=start, segments=16, ring_count=8)
    bpy.context.object.data.materials.append(material)
    way = end - start
    bpy.ops.mesh.primitive_cylinder_add(
        radius=radius, depth=way.length, location=(start + end) / 2, vertices=12
    )
    bpy.context.object.rotation_euler = way.to_track_quat("Z", "Y").to_euler()
    bpy.context.object.data.materials.append(material)


def paint(name, colour):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    for socket in shader.inputs:
        if socket.name in ("Specular", "Specular IOR Level"):  # its name up to Blender 3, since Blender 4
            socket.default_value = 0
    return material


def render(armature, frames, path):
    """Some poses of the armature as sticks, where they are in the world, seen from the side."""
    scene = bpy.context.scene
    sides = {"left": paint("left", (0.7, 0.15, 0.05)), "right": paint("right", (0.05, 0.2, 0.6))}
    middle = paint("middle", (0.15, 0.15, 0.15))
    points = []
    for frame in np.linspace(0, frames - 1, POSES).astype(int):
        heads, tails = places(armature, int(frame))
        for name, head in heads.items():
            parent = armature.pose.bones[name].parent
            colour = sides.get(name.split("_")[0], middle)
            if parent:
                stick(head, heads[parent.name], 0.022, colour)
            if name in tails:
                stick(tails[name], head, 0.022, colour)
        points += heads.values()
    low, high = np.min(points, 0), np.max(points, 0)
    centre, size = Vector((low + high) / 2), Vector(high - low)
    bpy.ops.mesh.primitive_plane_add(size=200, location=(centre.x, centre.y, low[2] - 0.03))
    bpy.context.object.data.materials.append(paint("floor", (0.45, 0.45, 0.45)))
    # Two suns without width and a sky that is seen but gives no light: no noise, hence a small file.
    for turn, energy, shadow in (((0.5, 0.4, 0.3), 2.6, True), ((0.9, -0.3, 0), 1.3, False)):
        bpy.ops.object.light_add(type="SUN", rotation=turn)
        sun = bpy.context.object.data
        sun.energy, sun.angle, sun.cycles.cast_shadow = energy, 0, shadow
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.55, 0.55, 0.55, 1)
    scene.world.cycles_visibility.diffuse = scene.world.cycles_visibility.glossy = False
    way = Vector((size.x, size.y, 0))
    ahead = Vector(points[-22] - points[0]) * Vector((1, 1, 0)) if way.length > 1 else Vector((1, 0, 0))
    across = ahead.normalized().cross(Vector((0, 0, 1)))
    away = max((way.length + 0.8) / 0.9, 4.6)  # the lens of 40 mm sees 0.9 m from side to side at 1 m
    bpy.ops.object.camera_add(location=centre + across * away + Vector((0, 0, 0.25 * away)))
    camera = bpy.context.object
    camera.rotation_euler = (centre - camera.location).to_track_quat("-Z", "Y").to_euler()
    camera.data.lens = 40
    scene.camera = camera
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 32
    scene.cycles.use_denoising, scene.render.dither_intensity = False, 0
    scene.cycles.max_bounces = 0
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y = 640, 360
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format, scene.render.image_settings.compression = "PNG", 100
    scene.render.image_settings.color_mode = "RGB"
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)


def main():
    bvh, npy, png = sys.argv[sys.argv.index("--") + 1 :]
    joints = np.load(npy)
    armature = import_bvh(bvh)
    seen = np.array([list(places(armature, frame)[0].values()) for frame in range(len(joints))])
    seen = seen[..., [0, 2, 1]] * (1, 1, -1)  # Blender's z is our y
    distances = 100 * np.linalg.norm(seen - joints, axis=-1)
    frame, joint = np.unravel_index(distances.argmax(), distances.shape)
    print(
        f"Blender {bpy.app.version_string}: {len(joints)} frames, {len(NAMES)} bones; distance to our joints: "
        f"mean {distances.mean():.4f} cm, maximum {distances.max():.4f} cm ({NAMES[joint]}, frame {frame})"
    )
    render(armature, len(joints), png)


main()
