# %%
"""LeNet-5 on Fashion-MNIST in Keras. Read it beside pytorch_model.py: the same steps in the same order."""

import time

import keras
import matplotlib.pyplot as plt
from keras import layers

from lenet.data import load

EPOCHS = 13
BATCH_SIZE = 128
keras.utils.set_random_seed(0)

# %% [markdown]
# ## Data handling
# 60,000 training and 10,000 test images of 28 x 28 grey values, scaled to [0, 1]. The channel is their last axis.
# %%
data = load()
train_images = data.train_images[..., None].astype("float32") / 255
test_images = data.test_images[..., None].astype("float32") / 255
test_set = (test_images, data.test_labels)

# %% [markdown]
# ## Model
# LeNet-5 with 44,426 parameters. Its outputs are logits, so the loss function applies the softmax.
# %%
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(6, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
        layers.Dense(10),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)

# %% [markdown]
# ## Callbacks
# After every epoch, the test loss decides: save the best weights; reduce the learning rate after two epochs without
# improvement; stop after three. All three are part of Keras, and watch `val_loss` unless another name is given.
# %%
callbacks = [
    keras.callbacks.ModelCheckpoint("best_model.weights.h5", save_best_only=True, save_weights_only=True),
    keras.callbacks.ReduceLROnPlateau(patience=2),
    keras.callbacks.EarlyStopping(patience=3),
]

# %% [markdown]
# ## Training process
# `fit` shuffles, trains, evaluates on the test images after every epoch, and calls the callbacks.
# %%
started = time.perf_counter()
history = model.fit(
    train_images,
    data.train_labels,
    batch_size=BATCH_SIZE,
    epochs=EPOCHS,
    validation_data=test_set,
    callbacks=callbacks,
    verbose=2,
).history
print(f"Training took {time.perf_counter() - started:.2f} s")

# %% [markdown]
# ## Results
# The loss curves, and the loss and accuracy of the best weights on the test images.
# %%
epochs = range(1, len(history["loss"]) + 1)
plt.plot(epochs, history["loss"], label="train")
plt.plot(epochs, history["val_loss"], label="test")
plt.title("Loss after each epoch")
plt.legend()
plt.savefig("keras_loss.png")
model.load_weights("best_model.weights.h5")
print("Best weights: test loss {:.4f}, test accuracy {:.4f}".format(*model.evaluate(*test_set, verbose=0)))
