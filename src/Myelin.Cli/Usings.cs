global using Myelin.Client;
global using Myelin.Protocol;
