# %%
"""LeNet-5 on Fashion-MNIST in PyTorch. Read it beside keras_model.py: the same steps in the same order."""

import time

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lenet.data import load

EPOCHS = 13
BATCH_SIZE = 128
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)

# %% [markdown]
# ## Data handling
# 60,000 training and 10,000 test images of 28 x 28 grey values, scaled to [0, 1]. The channel is their first axis.
# %%
data = load()
train_images = torch.tensor(data.train_images).unsqueeze(1) / 255
test_images = torch.tensor(data.test_images).unsqueeze(1) / 255
train_set = TensorDataset(train_images, torch.tensor(data.train_labels).long())
test_set = TensorDataset(test_images, torch.tensor(data.test_labels).long())
train_batches = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True)
test_batches = DataLoader(test_set, batch_size=BATCH_SIZE)

# %% [markdown]
# ## Model
# LeNet-5 with 44,426 parameters. Its outputs are logits, so the loss function applies the softmax.
# %%
model = nn.Sequential(
    nn.Conv2d(1, 6, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(256, 120),
    nn.ReLU(),
    nn.Linear(120, 84),
    nn.ReLU(),
    nn.Linear(84, 10),
).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

# %% [markdown]
# ## Callbacks
# After every epoch, the test loss decides: save the best weights; reduce the learning rate after two epochs without
# improvement; stop after three. Only the second is part of PyTorch. Its `patience=1` means two epochs.
# %%
reduce_lr = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, threshold_mode="abs")


def after_epoch(test_losses: list[float]) -> bool:
    """Return whether training should stop."""
    epochs_since_best = len(test_losses) - 1 - test_losses.index(min(test_losses))
    if epochs_since_best == 0:
        torch.save(model.state_dict(), "best_model.pt")
    reduce_lr.step(test_losses[-1])
    return epochs_since_best == 3


# %% [markdown]
# ## Training process
# The loop shuffles, trains, evaluates on the test images after every epoch, and calls `after_epoch`.
# %%
def evaluate() -> tuple[float, float]:
    """Return the loss and the accuracy on the test images."""
    model.eval()
    with torch.inference_mode():
        outputs = [model(images.to(device)) for images, _ in test_batches]
    logits, labels = torch.cat(outputs).cpu(), test_set.tensors[1]
    return nn.functional.cross_entropy(logits, labels).item(), (logits.argmax(dim=1) == labels).float().mean().item()


train_losses, test_losses = list[float](), list[float]()
started = time.perf_counter()
for epoch in range(1, EPOCHS + 1):
    model.train()
    total_loss = 0.0
    for images, labels in train_batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(images)
    train_losses.append(total_loss / len(train_set))
    test_loss, test_accuracy = evaluate()
    test_losses.append(test_loss)
    print(f"Epoch {epoch}: loss {train_losses[-1]:.4f}, test loss {test_loss:.4f}, test accuracy {test_accuracy:.4f}")
    if after_epoch(test_losses):
        break
print(f"Training took {time.perf_counter() - started:.2f} s")

# %% [markdown]
# ## Results
# The loss curves, and the loss and accuracy of the best weights on the test images.
# %%
epochs = range(1, len(train_losses) + 1)
plt.plot(epochs, train_losses, label="train")
plt.plot(epochs, test_losses, label="test")
plt.title("Loss after each epoch")
plt.legend()
plt.savefig("pytorch_loss.png")
model.load_state_dict(torch.load("best_model.pt"))
print("Best weights: test loss {:.4f}, test accuracy {:.4f}".format(*evaluate()))
